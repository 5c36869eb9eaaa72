"""DICOM films made by pydicom, for the tests of what reads them. All carry a patient's name."""

import io
import struct

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless, generate_uid

NAME, PATIENT_ID = "Geheim^Gisela", "SECRET-4711"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1 = (
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70)
)
JPEG_LS, JPEG_LS_LOSSY, JPEG2000_LOSSLESS, JPEG2000 = (
    f"1.2.840.10008.1.2.4.{number}" for number in (80, 81, 90, 91)
)
LOSSLESS = (
    IMPLICIT,
    EXPLICIT,
    BIG,
    DEFLATED,
    RLE,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS,
    JPEG2000_LOSSLESS,
)
LOSSY = (JPEG, JPEG_EXTENDED, JPEG_LS_LOSSY, JPEG2000)


def make_dataset(pixels: np.ndarray, *, bits: int | None = None, **tags) -> Dataset:
    """An uncompressed film (H, W) or (H, W, 3), little-endian, of a patient with a name."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.1.1"), generate_uid()
    dataset.PatientName, dataset.PatientID = NAME, PATIENT_ID
    dataset.InstitutionName, dataset.Modality = NAME, "DX"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated == 16 else "OB"
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def write(dataset: Dataset, syntax: str = EXPLICIT, *, frame: bytes | None = None) -> bytes:
    """The file of a dataset; with `frame`, that is its encapsulated image."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", UID("1.2.3"))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", UID("1.2.3"))
    if frame is not None:
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def make_dicom(pixels: np.ndarray, syntax: str = EXPLICIT, *, bits: int | None = None, **tags) -> bytes:
    """A film as a DICOM file, in any transfer syntax that is read."""
    dataset = make_dataset(pixels, bits=bits, **tags)
    if syntax == BIG and pixels.dtype.itemsize == 2:
        dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    if syntax == RLE:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return write(dataset, syntax, frame=encode_frame(pixels, syntax, bits))


def encode_frame(pixels: np.ndarray, syntax: str, bits: int | None = None) -> bytes | None:
    """The pixels in the JPEG of a transfer syntax; None for one that has none."""
    pixels = np.ascontiguousarray(pixels)
    if syntax == JPEG:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=95)
        return stream.getvalue()
    if syntax == JPEG_EXTENDED:
        return imagecodecs.jpeg8_encode(
            pixels, level=98, bitspersample=12 if pixels.dtype.itemsize == 2 else 8
        )
    if syntax in (JPEG_LOSSLESS, JPEG_LOSSLESS_SV1):
        predictor = 1 if syntax == JPEG_LOSSLESS_SV1 else 4
        bits = bits or 8 * pixels.dtype.itemsize
        return imagecodecs.jpeg8_encode(pixels.view(f"u{pixels.dtype.itemsize}"), lossless=True,
                                        predictor=predictor, bitspersample=bits)  # fmt: skip
    if syntax in (JPEG_LS, JPEG_LS_LOSSY):
        return imagecodecs.jpegls_encode(
            pixels.view(f"u{pixels.dtype.itemsize}"), 2 if syntax == JPEG_LS_LOSSY else 0
        )
    if syntax in (JPEG2000_LOSSLESS, JPEG2000):
        options = (
            {"level": 60, "reversible": False} if syntax == JPEG2000 else {"level": 0, "reversible": True}
        )
        return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", **options)
    return None


def make_element(tag: int, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
    """One element of an explicit little-endian file, with a length that may be a lie."""
    length = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    wide = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT")
    return head + (struct.pack("<HI", 0, length) if wide else struct.pack("<H", length)) + value


def insert_elements(data: bytes, elements: bytes) -> bytes:
    """The explicit little-endian film with elements before those of the image (group 0028)."""
    at = data.index(b"\x28\x00\x02\x00US")
    return data[:at] + elements + data[at:]
