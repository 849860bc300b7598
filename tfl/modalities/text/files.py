"""How files and columns of texts are called."""

from tfl.modalities.files import FileKind

FILES = FileKind(
    kind="text",
    suffixes=frozenset((".txt", ".text")),
    columns=(
        *("text", "sentence", "review", "content", "reviewtext", "reviewbody", "body", "comment", "commenttext", "message"),
        *("tweet", "post", "document", "article", "abstract", "description", "summary", "question", "utterance", "email", "sms"),
        *("headline", "title", "phrase", "path", "filename", "file", "filepath"),
    ),
    in_cells=True,
    feature="Text",
    unknown=".txt",
    numbered=frozenset(("doc", "document", "file", "page", "text", "untitled", "item", "sample", "note", "notes")),
    fillers=frozenset(("texts", "text", "txt", "documents", "docs")),
    recipe="tfl.Text()",
)
