"""How much one request, and all of them together, may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass

from tfl.errors import BadImageError
from tfl.modalities.image.headers import jpeg_scans, read_header
from tfl.serve.files import why_not

_ANIMATED = ("GIF", "WEBP")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused before it costs anything.

    Attributes:
        max_batch_size: Images that the model sees at once.
        max_wait_s: How long a batch waits for more, where requests come in faster than one at a time.
        parallel_batches: Batches that run at the same time: one is decoded while another is computed.
        max_instances: Images in a request.
        max_expected_wait_s: Longest time that a new request is expected to wait for the model; else it is refused. After ten
            seconds people turn to something else (Nielsen, Usability Engineering, 1993), and programs mostly give up.
        max_waiting: Images that wait for the model; a bound on memory alone.
        max_pixels: Of one image, all frames of an animation together; images that are decoded at once share twice as many.
        max_body_bytes: Of a request.
        max_pending_bytes: Of all requests that are being received or answered.
        max_values: Numbers, strings, lists and objects in a request's JSON.
        max_header_bytes: Of a request's head.
        max_connections: At a time.
        header_timeout_s, body_timeout_s: How long a client may take to send either.
        answer_timeout_s: How long a request may take from head to answer.
        idle_timeout_s: How long a connection is kept between requests.
    """

    max_batch_size: int = 32
    max_wait_s: float = 0.002
    parallel_batches: int = 2
    max_instances: int = 256
    max_expected_wait_s: float = 10.0
    max_waiting: int = 8192
    max_pixels: int = 50_000_000
    max_body_bytes: int = 16 * 2**20
    max_pending_bytes: int = 256 * 2**20
    max_values: int = 4_000_000
    max_header_bytes: int = 32 * 2**10
    max_connections: int = 4096
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    answer_timeout_s: float = 60.0
    idle_timeout_s: float = 60.0


def check_image(content: bytes, limits: Limits) -> int:
    """The pixels that decoding an image file takes, once its header says that this is worth it. Nothing is decompressed.

    Raises:
        BadImageError: It is no image, or would take too much; the message says why.
    """
    header = read_header(content)
    if header.trouble:
        raise BadImageError(why_not(header))
    pixels = header.width * header.height * (_frames(content) if header.kind in _ANIMATED else 1)
    work = pixels * max(1, jpeg_scans(content) // 10) if header.kind in ("JPEG", "MPO") else pixels
    if work > limits.max_pixels:
        raise BadImageError(f"{header.width:,}×{header.height:,}: more than {limits.max_pixels:,} pixels, or as much work")
    return pixels


def _frames(content: bytes) -> int:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return int(getattr(image, "n_frames", 1))
