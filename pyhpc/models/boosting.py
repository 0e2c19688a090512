"""Gradient-boosted trees: XGBoost, Chen & Guestrin 2016, doi 10.1145/2939672.2939785."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.models.losses import Absolute, Loss, Quantile, Squared
from pyhpc.models.matrix import matrix
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.optional import need
from pyhpc.models.preparation import check_fit

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target

_BOOSTER = "booster.ubj"
_MONITORED = 0.15
"""Fraction of the training rows that early stopping watches."""
_SQUARED = Squared()


@dataclass(frozen=True)
class XGBoost(Model):
    """Boosted trees.

    Attributes
    ----------
    features : tuple of str
        Columns.
    loss : Loss
        What errors cost, see :mod:`pyhpc.models.losses`; in a job file its kind, such as
        ``"absolute"``, or a table: ``{ kind = "pseudo_huber", slope = 0.05 }``.
    n_trees, max_depth, learning_rate, subsample, colsample_bytree, min_child_weight, reg_lambda, \
    max_bin
        As XGBoost's parameters of these names (``n_trees`` is the number of boosting rounds). With
        fewer rows than bins, the time of a fit goes with the number of bins.
    fill : float, optional
        Replaces missing values; without it, each split learns where they belong.
    early_stopping : int
        Rounds without a gain on a held-out 15% of the training rows after which the number of
        trees is taken to be found; the model is then fitted to all rows with that many. 0: not at
        all.
    bin_rows : int
        From larger tables, this many rows are drawn to learn the edges of the bins, which takes
        longer than all else when every row has its say.
    page_rows : int
        For tables whose features do not fit in memory, or on the GPU: so many rows of them are
        made at a time, and kept on the disk (in ``TMPDIR``), quantized. 0: all at once.
    """

    kind: ClassVar[str] = "xgboost"
    features: tuple[str, ...]
    loss: Loss = _SQUARED
    n_trees: int = 400
    max_depth: int = 5
    learning_rate: float = 0.05
    subsample: float = 0.8
    colsample_bytree: float = 0.5
    min_child_weight: float = 5.0
    reg_lambda: float = 1.0
    max_bin: int = 256
    fill: float | None = None
    early_stopping: int = 0
    bin_rows: int = 50_000
    page_rows: int = 0

    def __post_init__(self) -> None:
        for name in ("n_trees", "max_depth", "learning_rate", "subsample", "colsample_bytree"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be positive")
        for name in ("subsample", "colsample_bytree"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be at most 1")
        if self.max_bin < 2:
            raise ValueError(f"max_bin = {self.max_bin}; it must be at least 2")
        if self.bin_rows < 1:
            raise ValueError(f"bin_rows = {self.bin_rows}; it must be at least 1")
        if self.page_rows < 0:
            raise ValueError(f"page_rows = {self.page_rows}; it must be 0 or more")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return self.features

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedXGBoost:
        """Fit to a table."""
        check_fit(table, target)
        labels, center, scale = self._labels(target)
        n_trees = self.n_trees
        if self.early_stopping:
            n_trees = self._rounds(table, labels, compute)
        booster = self._train(self._quantized(table, labels, compute), n_trees, compute)
        return self._fitted(booster, center, scale, n_trees)

    def restore(self, state: State) -> FittedXGBoost:
        """Make the fitted model again."""
        booster = need("xgboost").Booster()
        booster.load_model(bytearray(state.blobs[_BOOSTER]))
        facts = state.facts
        return self._fitted(booster, facts["center"], facts["scale"], facts["n_trees"])

    def _fitted(self, booster: Any, center: float, scale: float, n_trees: int) -> FittedXGBoost:
        return FittedXGBoost(self, booster, center, scale, n_trees)

    def _matrix(self, table: pa.Table) -> NDArray[np.float32]:
        rows = matrix(table, self.features)
        return rows if self.fill is None else np.nan_to_num(rows, nan=self.fill)

    def _objective(self) -> dict[str, Any]:
        """Parameters that say what is minimised, and from where."""
        if self.loss == _SQUARED:
            return {"objective": "reg:squarederror"}
        # XGBoost starts at the mean for squared errors; for others it takes a Newton step from 0,
        # which lands anywhere where the curvature is small, so the labels are centred instead.
        start = {"base_score": 0.0}
        # Both of these set each leaf to the best value for its rows, as no gradient can.
        if isinstance(self.loss, Absolute):
            return start | {"objective": "reg:absoluteerror"}
        if isinstance(self.loss, Quantile):
            return start | {"objective": "reg:quantileerror", "quantile_alpha": self.loss.level}
        return start | {"disable_default_eval_metric": True}

    def _callables(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Objective and metric of a loss that XGBoost has not got."""
        if "objective" in parameters:
            return {}
        loss = self.loss

        def objective(margins: NDArray[np.float32], data: Any) -> tuple[Any, Any]:
            targets = data.get_label().astype(np.float64)
            return loss.step(margins - targets, targets)

        def metric(margins: NDArray[np.float32], data: Any) -> tuple[str, float]:
            targets = data.get_label().astype(np.float64)
            return loss.kind, loss.value(margins - targets, targets)

        return {"obj": objective, "custom_metric": metric}

    def _labels(self, target: Target) -> tuple[dict[str, NDArray[np.float64]], float, float]:
        """Labels of the rows, and the centre and scale that undo what was done to them."""
        center = 0.0 if self.loss == _SQUARED else float(np.median(target.values))
        return {"label": target.values - center}, center, 1.0

    def _quantized(
        self,
        table: pa.Table,
        labels: dict[str, NDArray[np.float64]],
        compute: Compute,
        ref: Any = None,
    ) -> Any:
        if ref is None and table.num_rows > self.bin_rows:
            generator = np.random.default_rng(compute.seed)
            drawn = np.sort(generator.choice(table.num_rows, self.bin_rows, replace=False))
            ref = self._quantized_rows(table.take(drawn), {}, compute, None)
        if self.page_rows == 0:
            return self._quantized_rows(table, labels, compute, ref)
        need("xgboost")
        from pyhpc.models.pages import paged_matrix

        options = {"max_bin": self.max_bin, "nthread": compute.threads, "ref": ref}
        return paged_matrix(self._matrix, table, labels, self.page_rows, **options)

    def _quantized_rows(
        self,
        table: pa.Table,
        labels: dict[str, NDArray[np.float64]],
        compute: Compute,
        ref: Any,
    ) -> Any:
        return need("xgboost").QuantileDMatrix(
            self._matrix(table), **labels, max_bin=self.max_bin, nthread=compute.threads, ref=ref
        )

    def _train(self, data: Any, n_trees: int, compute: Compute, **options: Any) -> Any:
        objective = self._objective()
        parameters = {
            **objective,
            "tree_method": "hist",
            "device": compute.device,
            "nthread": compute.threads,
            "seed": compute.seed,
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "min_child_weight": self.min_child_weight,
            "reg_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
        }
        options |= self._callables(objective)
        return need("xgboost").train(parameters, data, num_boost_round=n_trees, **options)

    def _rounds(
        self, table: pa.Table, labels: dict[str, NDArray[np.float64]], compute: Compute
    ) -> int:
        """Find the number of trees on rows that are held out."""
        shuffled = np.random.default_rng(compute.seed).permutation(table.num_rows)
        n_watched = round(_MONITORED * table.num_rows)
        if n_watched == 0:
            return self.n_trees
        watched, kept = np.sort(shuffled[:n_watched]), np.sort(shuffled[n_watched:])
        data = self._quantized(
            table.take(kept), {name: part[kept] for name, part in labels.items()}, compute
        )
        monitor = self._quantized(
            table.take(watched),
            {name: part[watched] for name, part in labels.items()},
            compute,
            data,
        )
        booster = self._train(
            data,
            self.n_trees,
            compute,
            evals=[(monitor, "held_out")],
            early_stopping_rounds=self.early_stopping,
            verbose_eval=False,
        )
        return int(booster.best_iteration) + 1


@dataclass(frozen=True)
class XGBoostAFT(XGBoost):
    """Boosted trees on a likelihood that knows bounds (``survival:aft``).

    A row known only as a bound contributes the probability of its open side: Barnwal, Cho & Hocking
    2022, doi 10.1080/10618600.2022.2067548. The target is taken as the logarithm of a time, so it
    may have any sign.

    Attributes
    ----------
    distribution : str
        Of the noise: ``"normal"``, ``"logistic"`` or ``"extreme"``.
    noise : float
        Scale of the noise, in standard deviations of the training targets.
    """

    kind: ClassVar[str] = "xgboost_aft"
    distribution: str = "normal"
    noise: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss != _SQUARED:
            raise ValueError(
                f"loss = {self.loss.kind!r}; the loss of xgboost_aft is its likelihood"
            )
        if self.distribution not in ("normal", "logistic", "extreme"):
            raise ValueError(
                f"distribution = {self.distribution!r}; allowed: normal, logistic, extreme"
            )
        if self.noise <= 0:
            raise ValueError(f"noise = {self.noise}; it must be positive")

    def _objective(self) -> dict[str, Any]:
        return {
            "objective": "survival:aft",
            "eval_metric": "aft-nloglik",
            "aft_loss_distribution": self.distribution,
            "aft_loss_distribution_scale": self.noise,
            # The start of the boosting on the scale of times: the standardised target 0.
            "base_score": 1.0,
        }

    def _labels(self, target: Target) -> tuple[dict[str, NDArray[np.float64]], float, float]:
        center = float(target.values.mean())
        # A constant target has no scale of its own.
        scale = float(target.values.std()) or 1.0
        bounds = {
            "label_lower_bound": np.exp((target.lower - center) / scale),
            "label_upper_bound": np.exp((target.upper - center) / scale),
        }
        return bounds, center, scale


@dataclass(frozen=True, eq=False)
class FittedXGBoost(Fitted):
    """A booster.

    Attributes
    ----------
    booster : xgboost.Booster
        The trees.
    center, scale : float
        A prediction is ``center + scale * margin``.
    n_trees : int
        Rounds of boosting.
    """

    model: XGBoost
    booster: Any
    center: float
    scale: float
    n_trees: int

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        return self._outputs(table)

    def _outputs(self, table: pa.Table) -> NDArray[np.float64]:
        """All outputs of the trees in units of the target, row by row."""
        step = self.model.page_rows or max(table.num_rows, 1)
        margins = [
            self.booster.predict(self._data(table.slice(start, step)), output_margin=True).ravel()
            for start in range(0, table.num_rows, step)
        ]
        joined = np.concatenate([np.empty(0, np.float32), *margins])
        values: NDArray[np.float64] = self.center + self.scale * joined.astype(np.float64)
        return values

    def contributions(self, table: pa.Table) -> NDArray[np.float64]:
        """SHAP values of each feature, Lundberg et al. 2020, doi 10.1038/s42256-019-0138-9.

        Returns
        -------
        array, shape (n_rows, n_features + 1)
            The last column is what a row of unknown features gets; each row sums to its
            prediction.
        """
        values: NDArray[np.float64] = self.booster.predict(
            self._data(table), pred_contribs=True
        ).astype(np.float64)
        values *= self.scale
        values[..., -1] += self.center
        return values

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did."""
        return {"kind": self.model.kind, "n_trees": self.n_trees}

    def state(self) -> State:
        """Give what the fit has found."""
        return State(
            facts={"center": self.center, "scale": self.scale, "n_trees": self.n_trees},
            blobs={_BOOSTER: bytes(self.booster.save_raw("ubj"))},
        )

    def _data(self, table: pa.Table) -> Any:
        return need("xgboost").DMatrix(self.model._matrix(table), nthread=1)
