"""A stage in which only the head learns: features of the backbone are computed once and cached."""

from collections.abc import Callable

import numpy as np
import torch

from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.models.backbone import FinetunedBackbone
from pneumo_utils.models.predict import predict_logits


class FrozenFeatures:
    """Features of films by a backbone that does not learn, in a table that fills itself.

    A view is one draw of the augmentation for each film. A film's features in a view are computed when a
    batch first asks for them: the first epoch of each view costs what an epoch without the table would,
    gives the same, and the epochs after it cost next to nothing.

    Args:
        num_films: N, training films.
        num_views: V, 1 or more; epochs take them in turn.
        compute: Features, float (B, F), of the films at indices, int64 (B,), under a new draw.
    """

    def __init__(self, num_films: int, num_views: int, compute: Callable[[torch.Tensor], torch.Tensor]):
        self.compute, self.view = compute, 0
        self.known = torch.zeros(num_views, num_films, dtype=torch.bool)
        self.table: torch.Tensor | None = None
        self.predicted: list[tuple[np.ndarray, torch.Tensor]] = []

    def start_epoch(self, epoch: int) -> None:
        """Turns to the view of an epoch, counted from 1."""
        self.view = (epoch - 1) % len(self.known)

    def get(self, index: torch.Tensor) -> torch.Tensor:
        """Features of a batch: float (B, F), without gradient, for films at `index`, int64 (B,)."""
        missing = index[~self.known[self.view, index.cpu()].to(index.device)]
        if len(missing):
            with torch.no_grad():
                computed = self.compute(missing).float()
            if self.table is None:
                self.table = computed.new_zeros(*self.known.shape, computed.shape[1])
            self.table[self.view, missing] = computed
            self.known[self.view, missing.cpu()] = True
        return self.table[self.view, index]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What is known of the training films; the validation films can be passed again."""
        return {"known": self.known, "table": self.table}

    def load_state_dict(self, state: dict[str, torch.Tensor], *, device: torch.device) -> None:
        """Goes on with what was known."""
        self.known, self.table = state["known"], state["table"].to(device)

    def predict(
        self, model: FinetunedBackbone, images: np.ndarray, *, transform: EvalTransform
    ) -> np.ndarray:
        """What `predict_logits` gives, float64 (N,), for films that are asked about after each epoch.

        Args:
            model: With the backbone of this stage and the head of the moment.
            images: uint8 (N, H, W), the very same array in each epoch.
            transform: The model's own.
        """
        features = next((kept for films, kept in self.predicted if films is images), None)
        if features is None:
            found = predict_logits(model.backbone, images, transform=transform)
            features = torch.from_numpy(found).to(model.head.weight)
            self.predicted.append((images, features))
        with torch.no_grad():
            return model.head(features).squeeze(1).double().cpu().numpy()
