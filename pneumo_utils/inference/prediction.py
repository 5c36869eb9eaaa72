"""The answer for one film, as plain values and as a sentence."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Prediction:
    """The answer for one film.

    Attributes:
        path: What was asked about.
        status: "ok" or "rejected".
        label: A class name; None where rejected.
        probability: P(pneumonia), 0 to 1; None where rejected.
        threshold: The label is PNEUMONIA when probability >= threshold.
        refer: Whether a person should decide, since the probability lies in the refer band; None where
            rejected, or where the model has no band.
        model: The model's name.
        trained_on: The data set it learnt from.
        warnings: What makes the answer doubtful, in sentences.
        reason: Why it was rejected; None otherwise.
        time_s: Wall time from bytes to answer, seconds.
    """

    path: str
    status: str
    label: str | None
    probability: float | None
    threshold: float
    refer: bool | None
    model: str
    trained_on: str
    warnings: list[str]
    reason: str | None
    time_s: float

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)

    def describe(self) -> str:
        """The answer in one sentence."""
        if self.status == "rejected":
            return f"{self.path}: rejected. {self.reason}"
        side = "at or above" if self.probability >= self.threshold else "below"
        text = (
            f"{self.path}: {self.label}, P(pneumonia) = {self.probability:.3f}, {side} "
            f"the threshold {self.threshold:.3f} of {self.model}."
        )
        referred = ["It is too close to call: a person should decide."] if self.refer else []
        return " ".join([text, *referred, *(f"Warning: {warning}" for warning in self.warnings)])
