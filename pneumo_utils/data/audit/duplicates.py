"""Films that are there twice: the same pixels, or the same film saved, sized or toned anew."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pneumo_utils.data.audit.picture import THUMBNAIL_SIZE
from pneumo_utils.data.audit.table import FilmFacts

MAX_DISTANCE = 12
"""Bits of 64 in which the perceptual hashes of a candidate pair may differ."""
MIN_CORRELATION = 0.85
"""Correlation of the fine detail from which a candidate counts as a near-duplicate."""
DETAIL_SIGMA = 3.0  # thumbnail pixels; what is smoother than this all chest films share


@dataclass(frozen=True)
class NearPair:
    """Two films of different pixels that show the same film, or nearly so.

    Attributes:
        first: Index into the films that were compared.
        second: A larger one.
        distance: Bits in which the perceptual hashes differ, 0 to 64.
        correlation: Of the fine detail of the thumbnails, -1 to 1.
    """

    first: int
    second: int
    distance: int
    correlation: float


def find_identical(films: list[FilmFacts]) -> list[list[int]]:
    """Groups of two or more films whose grey levels are all equal, as ascending indices."""
    groups = defaultdict(list)
    for index, film in enumerate(films):
        groups[film.picture.pixel_hash].append(index)
    return [group for group in groups.values() if len(group) > 1]


def find_near(films: list[FilmFacts]) -> list[NearPair]:
    """Pairs that look the same and have other pixels, the most alike first.

    Chest films look alike, so a hash alone drowns the reader: of the 17 million pairs of the 5,840 films
    of ChestXRay2017, tens of thousands lie within 10 bits and all but a few show different children. So
    the hash (imagehash's `phash`) only proposes, within 12 bits, and the fine detail of the thumbnails
    decides: ribs, vessels and markers, with all that is smooth taken out. On those films the highest
    correlations of pairs with different pixels are 0.86 (two files of different number which look like
    two exposures of one child), 0.80 and 0.79; hence the limit of 0.85. Of 300 of these films changed on
    purpose, saving at JPEG quality 30, halving the size, gamma 0.7 to 1.4, and an added line of text are
    all found; so are nearly all with 1 % cropped or turned by 1 degree, and fewer with 2 % cropped.
    Mirrored, inverted, strongly cropped or padded copies are not found.

    Of films with identical pixels, only the first takes part.
    """
    unique = np.unique([film.picture.pixel_hash for film in films], return_index=True)[1]
    unique.sort()
    hashes = np.array([films[i].picture.look_hash for i in unique], dtype=np.uint64)
    details = _make_details([films[i].picture.thumbnail for i in unique])
    pairs = []
    for i, index in enumerate(unique.tolist()):
        distances = np.bitwise_count(hashes[i] ^ hashes[i + 1 :])
        close = np.flatnonzero(distances <= MAX_DISTANCE)
        correlations = details[i + 1 + close] @ details[i]
        for k in np.flatnonzero(correlations >= MIN_CORRELATION):
            other, distance = int(unique[i + 1 + close[k]]), int(distances[close[k]])
            pairs.append(NearPair(index, other, distance, float(correlations[k])))
    return sorted(pairs, key=lambda pair: -pair.correlation)


def _make_details(thumbnails: list[np.ndarray]) -> np.ndarray:
    """float32 (N, 4096): thumbnails less their blur, of mean 0 and length 1; zeros where all is one grey."""
    levels = np.array(thumbnails, dtype=np.float32).reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    details = levels - gaussian_filter(levels, sigma=(0, DETAIL_SIGMA, DETAIL_SIGMA))
    details = details.reshape(len(levels), THUMBNAIL_SIZE**2)
    details -= details.mean(axis=1, keepdims=True)
    length = np.linalg.norm(details, axis=1, keepdims=True)
    # A thumbnail of one grey level has no detail: what rounding leaves of it must not be blown up.
    return np.where(length > 1, details / np.maximum(length, 1), 0)


def make_groups(num_films: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Joins films that are linked, directly or through others.

    Args:
        num_films: N.
        pairs: Indices of two linked films each.

    Returns:
        int (N,): equal for films of one group.
    """
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(num_films, num_films))
    return connected_components(links, directed=False)[1]
