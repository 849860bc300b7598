"""How files and columns of images are called."""

from tfl.modalities.files import FileKind

FILES = FileKind(
    kind="image",
    suffixes=frozenset(
        (
            *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".jxl", ".tif", ".tiff", ".avif", ".heic"),
            *(".heif", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pnm", ".pbm", ".tga"),
        )
    ),
    columns=(
        *("path", "filename", "file", "filepath", "filepaths", "image", "imagepath", "imagename", "imagefile", "imagefilename"),
        *("imageid", "img", "imgpath", "imgname", "imgid", "photo", "picture", "name", "id"),
    ),
    feature="Image",
    starts={
        b"\xff\xd8": ".jpg",
        b"\x89PNG": ".png",
        b"GIF8": ".gif",
        b"BM": ".bmp",
        b"RIFF": ".webp",
        b"II*\0": ".tif",
        b"MM\0*": ".tif",
        b"\xff\x0a": ".jxl",
    },
    unknown=".img",
    numbered=frozenset(
        (
            *("img", "image", "images", "imag", "dsc", "dscn", "dscf", "pxl", "mvi", "vid", "gopr", "gp", "p", "sam", "cimg"),
            *("pict", "picture", "photo", "pic", "foto", "screenshot", "screen", "frame", "scan", "whatsapp", "file", "page"),
            *("untitled", "unnamed", "download", "crop", "tile", "patch", "sample", "item", "fig", "figure", "slide", "wp"),
            *("dji", "sdc", "hpim"),
        )
    ),
    described_by=frozenset(("mask", "label", "annotation", "groundtruth", "gt", "bboxe", "bbox", "segmentation", "xml", "json")),
    parts=frozenset(("jpegimage",)),
    as_arrays=True,
    fillers=frozenset(("images", "image", "imgs", "img", "pictures", "photos")),
)
