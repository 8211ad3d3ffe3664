"""Mixing in Hugging Face's Trainer: one that mixes the batches it trains on, and leaves those it evaluates.

A `data_collator` would mix the evaluation too, and could not mix inside the model; so batches are mixed where the loss
is computed.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check
from mixlab.integrations.batch import draw_plan
from mixlab.mixing.hidden import find_layer
from mixlab.mixing.losses import mixed_cross_entropy, mixed_logits, target_cross_entropy
from mixlab.mixing.mixer import Mixer, check_mixer
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.ways import AsIs

try:
    from transformers import Trainer
    from transformers.modeling_outputs import SequenceClassifierOutput
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        'mixlab.integrations.huggingface needs transformers and accelerate: pip install "mixlab[huggingface]"'
    ) from None


_IGNORED = -100  # a label that does not count, in all of transformers


class MixTrainer(Trainer):
    """A `transformers.Trainer` that trains on mixed batches. Evaluation and prediction see the rows as they are.

    It suits models that give one row of logits [num_labels] for an example. The loss is what the model itself would
    compute, of the mixes: by `model.config.problem_type`, or else by the labels, cross entropy (class labels), binary
    cross entropy (floats [B, num_labels]; with problem_type "single_label_classification" soft labels, and cross
    entropy), or the squared error to mixed values (num_labels of 1). `label_smoothing_factor` smooths mixed labels as
    it smooths others. A `compute_loss_func` is given outputs with the mixes' logits [K * B, num_labels], soft targets
    [K * B, num_labels] in training, and the number of mixed labels in the whole step.

    Every row weighs the same in a step, however the batches of a gradient accumulation, or of several processes, divide
    them: a short last batch is mixed and counts for its rows, and a batch of one is left as it is. With
    `dataloader_drop_last` training drops the rows of its last batch, evaluation drops none.

    It draws from torch's global generator, which the Trainer seeds, and restores where it resumes. Of several
    processes, which the Trainer seeds alike, each draws partners and λs of its own.

    Args:
        args, kwargs: are those of `transformers.Trainer`, the model first.
        mixer: is a Mixer of any variant. Layers of "manifold" are named as the model's `named_modules` has them
            ("vit.layers.0"), and give one tensor. A variant that looks at the model takes the gradient of its cross
            entropy, whatever the loss.
        input_key: names what is mixed in the batch, [B, ...]; None is the model's `main_input_name` ("pixel_values",
            "input_values"), or the first parameter of its forward. An attention mask becomes the union of the pair's.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; more than one name of labels; in training, a batch without
            input or labels, or with other tensors a row of which belongs to an example, which cannot be mixed before
            the model; labels and inputs that the mixer does not take, see `Mixer.plan`.
    """

    loss_is_scaled_for_ga = True  # compute_loss weighs a batch by its share of the whole step

    def __init__(self, *args: Any, mixer: Mixer, input_key: str | None = None, **kwargs: Any) -> None:
        self.mixer = check_mixer(mixer)
        if input_key is not None and not isinstance(input_key, str):
            raise TypeError(f"input_key must name an input of the model, or be None, got {_check.shown(input_key)}")
        super().__init__(*args, **kwargs)
        names = self.label_names or ["labels"]
        if len(names) != 1:
            raise ValueError(f"label_names must be one name for MixTrainer, got {_check.shown(names)}")
        self.label_key: str = names[0]
        model = self.accelerator.unwrap_model(self.model)
        main = getattr(model, "main_input_name", None) or next(iter(inspect.signature(model.forward).parameters), "x")
        self.input_key: str = input_key or main

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """The batches of one step, and the number of labels in all of them, on all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = [_count(self._labels(batch)).to(device) for batch in batches]
        count = sum(counts, torch.zeros((), dtype=torch.int64, device=device))
        return batches, self.accelerator.gather(count).sum().clamp(min=1)

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch, mixed where the model trains: its share of the mean over the rows of one step."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        x, y, others = self._taken_apart(inputs)
        inner = self.accelerator.unwrap_model(model)
        looked_at = _Logits(inner, self.input_key, others)
        plan = draw_plan(self.mixer, x, y, model=looked_at, generator=self._generator(x.device))
        net = _Logits(model, self.input_key, {name: self._along(name, part, plan) for name, part in others.items()})
        logits = mixed_logits(net, x, _at_layer_of(net, inner, plan))
        count = _count(y)
        items = count if num_items_in_batch is None else num_items_in_batch
        if self.compute_loss_func is not None:
            outputs = SequenceClassifierOutput(logits=logits)
            targets = plan.targets(y, None if y.is_floating_point() else logits.shape[-1])
            loss = self.compute_loss_func(outputs, targets, num_items_in_batch=items * plan.k)
        else:
            loss = self._mixed_loss(inner, logits, y, plan) * (count / items)
        if plan.clean_loss is not None:
            loss = loss + plan.clean_loss * (count / items)
        loss = loss * self.accelerator.num_processes  # which take the mean of their gradients
        return (loss, SequenceClassifierOutput(loss=loss, logits=logits)) if return_outputs else loss

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's own, of every row."""
        with self._every_row():
            return super().get_eval_dataloader(*args, **kwargs)

    def get_test_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's own, of every row."""
        with self._every_row():
            return super().get_test_dataloader(*args, **kwargs)

    @contextmanager
    def _every_row(self) -> Iterator[None]:
        was, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False
        try:
            yield
        finally:
            self.args.dataloader_drop_last = was

    def _generator(self, device: torch.device) -> torch.Generator | None:
        """The global one, unless there are several processes, which all have the same."""
        if self.accelerator.num_processes == 1:
            return None
        drawn = int(torch.randint(2**62, (), device="cpu"))
        return torch.Generator(device).manual_seed(drawn + self.accelerator.process_index)

    def _labels(self, inputs: Any) -> Tensor:
        wanted = f"inputs must be a dict with labels in {self.label_key!r}, a tensor"
        if not isinstance(inputs, Mapping) or not isinstance(inputs.get(self.label_key), Tensor):
            raise TypeError(f"{wanted}, got {_check.shown(list(inputs) if isinstance(inputs, Mapping) else inputs)}")
        labels: Tensor = inputs[self.label_key]
        return labels

    def _taken_apart(self, inputs: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """What is mixed, its labels, and what else the model takes."""
        y = self._labels(inputs)
        others = {name: part for name, part in inputs.items() if name != self.label_key}
        x = others.pop(self.input_key, None)
        if not isinstance(x, Tensor):
            raise TypeError(f"input_key must name a tensor in {list(inputs)}, got {self.input_key!r}")
        return x, y, others

    def _along(self, name: str, part: Any, plan: MixPlan) -> Any:
        """Another input of the model, for the mixes of this plan."""
        if not isinstance(part, Tensor) or part.ndim == 0 or len(part) != plan.batch:
            return part
        mixes = [plan.k, *[1] * (part.ndim - 1)]
        if isinstance(plan.way, AsIs):
            return part.repeat(mixes)
        if name == "attention_mask" and plan.way.two_labels:
            return torch.maximum(part, part.index_select(0, plan.partner)).repeat(mixes)
        if plan.inside is not None:
            return part
        raise ValueError(
            f"inputs must hold {self.input_key!r}, {self.label_key!r} and an attention_mask to be mixed before the "
            f"model, got {name!r} besides"
        )

    def _mixed_loss(self, model: nn.Module, logits: Tensor, y: Tensor, plan: MixPlan) -> Tensor:
        """The mean loss of the mixes, by the kind of problem that transformers would see in these labels."""
        if logits.ndim != 2:
            raise ValueError(f"model must give logits [batch, num_labels], got {_check.shown(logits)}")
        problem = getattr(getattr(model, "config", None), "problem_type", None)
        if problem is None and logits.shape[1] == 1:
            problem = "regression"
        elif problem is None:
            problem = "multi_label_classification" if y.is_floating_point() else "single_label_classification"
        if problem == "regression":
            values = plan.targets(y.to(logits.dtype))
            return functional.mse_loss(logits, values.view_as(logits))
        if problem == "multi_label_classification":
            targets = plan.targets(y, logits.shape[1])
            return functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))
        smoothing = 0.0 if self.label_smoother is None else self.args.label_smoothing_factor
        if y.is_floating_point() or not plan.way.two_labels:
            return target_cross_entropy(logits, plan.targets(y, logits.shape[1]), label_smoothing=smoothing)
        loss = mixed_cross_entropy(logits, *plan.labels(y), "sum", smoothing, ignore_index=_IGNORED)
        return loss / (plan.k * _count(y).clamp(min=1))


class _Logits(nn.Module):
    """A model of the library, as a module that maps an input to logits."""

    def __init__(self, model: nn.Module, input_key: str, others: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.input_key, self.others = model, input_key, others
        self.training = model.training

    def forward(self, x: Tensor) -> Any:
        outputs = self.model(**{self.input_key: x}, **self.others)
        if isinstance(outputs, Mapping):
            return outputs["logits"]
        return outputs[0] if isinstance(outputs, (tuple, list)) else outputs


def _at_layer_of(net: _Logits, inner: nn.Module, plan: MixPlan) -> MixPlan:
    """The plan with its layer by the name it has in `net`, around what accelerate has put around the model."""
    if plan.inside is None:
        return plan
    find_layer(inner, plan.inside)
    path = next(name for name, module in net.named_modules() if module is inner)
    return replace(plan, layer=f"{path}.{plan.inside}")


def _count(labels: Tensor) -> Tensor:
    """How many labels count."""
    return (labels != _IGNORED).sum()
