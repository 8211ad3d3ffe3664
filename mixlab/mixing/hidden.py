"""Mixing hidden states: the output of one module of any network is mixed on its way through, by a plan.

Verma et al., "Manifold Mixup: Better Representations by Interpolating Hidden States", ICML 2019, equation 1: where
g_k is the network up to layer k and f_k the rest of it, the loss is that of f_k(λ g_k(x) + (1 − λ) g_k(x′)) against
both labels. The layer is drawn for each batch; the official code draws from {input, layer1, layer2} of a ResNet.

The network is not changed: a hook mixes, and goes when the block ends. BatchNorm before the layer sees clean batches of
B, as without mixing; BatchNorm after it sees K * B mixes, and its running statistics describe those.
"""

import copyreg
import difflib
import threading
import traceback
import warnings
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixlab import _check
from mixlab.mixing.plan import MixPlan


def hidden_mixing(model: nn.Module, layer: str, plan: MixPlan) -> AbstractContextManager[None]:
    """Mix one module's output in the forward that runs inside the block, as in equation 1 of "Manifold Mixup".

        with hidden_mixing(model, "stage2", plan):
            logits = model(x)

    What the module gives, [B, ...], is replaced by `plan.apply` of it, [K * B, ...] and k-major, so the model returns
    K * B rows; `plan.labels(y)` has their labels. Gradients flow through the mix to both examples. The block is for one
    forward of its own thread, others pass as they are; the backward may come inside or after. A plan drawn for
    "manifold" says where in `plan.layer`; `mixed_logits` does the whole of it in one call.

    The layer must lie outside of activation checkpointing, which runs it once more in the backward, when the block's
    mixing is over.

    Compiled models: where the layer lies inside what was compiled, a hook would silently be left out, so the block
    runs without compilation ("force_eager" of `torch.compiler.set_stance`, which holds for the whole process), and what
    was compiled is used again afterwards. "input" of `torch.compile(model)`, and a layer that is itself
    `torch.compile(part)`, are mixed outside of it and stay compiled.

    Args:
        model: is any network; its mode and its weights stay as they are.
        layer: is "input", always for the model's first positional tensor, or a name from `model.named_modules()`, of a
            module that runs once in a forward and returns a single float tensor, its first axis the batch: one that
            gives [T, B, D] with T equal to B has its T mixed, as shapes do not tell. For K > 1 all of the signal must
            pass it: past a convolution inside a residual block, the short cut brings B rows to the K * B, and torch
            raises. Names of a compiled model may leave out "_orig_mod".
        plan: says how to mix. Boxes and masks are scaled to the height and width of the feature maps.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; a layer that the model does not have; in the forward, a
            layer that returns anything but a tensor of the plan's batch size and device which can be blended; a plan
            whose logits are to be decoupled, for which there is `mixed_logits`.
        RuntimeError: the model is being mixed already, or the block is entered twice; the layer is called twice, or
            inside activation checkpointing; or it was not called when the block ends.

    Warns:
        UserWarning: at the end, if the plan has K > 1 and BatchNorm updated its running statistics from the mixes.
    """
    mix = HiddenMix(model, layer, plan, warns=True)
    if plan.decoupled:
        raise ValueError(
            f"plan must be one that is done once it has mixed, got {plan!r}, whose logits are to be decoupled: use "
            "mx.mixed_logits(model, x, plan)"
        )
    return mix


class HiddenMix(AbstractContextManager[None]):
    """The mixing of one forward, a block: where, by which plan, and what has happened so far.

    Its methods hook the model while it is open. Copies of the model that are made meanwhile have closed ones.
    """

    open = False

    def __init__(self, model: nn.Module, layer: str, plan: MixPlan, *, warns: bool = False) -> None:
        check_model_and_plan(model, plan)
        self.model, self.layer, self.plan, self.warns = model, layer, plan, warns
        self.path = _path(model, layer)
        self.called = False
        self._counted: dict[_BatchNorm, int] = {}
        self._closing: ExitStack | None = None

    def __enter__(self) -> None:
        if self._closing is not None:
            raise RuntimeError("hidden_mixing must be called anew for each block, got one that was entered before")
        check_unmixed(self.model)
        self._closing, target = ExitStack(), self.path[-1]
        self.thread, self.differentiated = threading.get_ident(), torch.is_grad_enabled()
        if _is_compiled_inside(self.path):
            self._closing.enter_context(torch.compiler.set_stance("force_eager"))
        if self.layer == "input":
            hook = target.register_forward_pre_hook(self.before)
        else:
            hook = target.register_forward_hook(self.after)
        self._closing.callback(hook.remove)
        self.open = True

    def __exit__(self, kind: object, *_: object) -> None:
        assert self._closing is not None
        self.open = False
        self._closing.close()
        if kind is not None:
            return
        if not self.called:
            raise RuntimeError(
                f"layer {self.layer!r} was not called inside the block, so nothing was mixed: run one forward of the "
                "model there, not compiled or scripted by an outer function, and choose a layer that it runs"
            )
        if self.warns:
            self._warn()

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (HiddenMix,)  # type: ignore[attr-defined]  # a closed one, for deepcopy and pickle

    @property
    def is_here(self) -> bool:
        """Whether what runs now is to be mixed."""
        if torch.compiler.is_compiling():  # the compiler cannot trace what asks for the thread
            return self.open
        return self.open and self.thread == threading.get_ident()

    def before(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Forward pre-hook of the model: its arguments, the first tensor mixed; None leaves them."""
        if not self.is_here:
            return None
        for place, value in enumerate(args):
            if isinstance(value, Tensor):
                return (*args[:place], self._mixed(value), *args[place + 1 :])
        raise TypeError(f"layer 'input' ({type(module).__name__}) must be given a tensor by position to be mixed")

    def after(self, module: nn.Module, _args: object, output: object) -> Tensor | None:
        """Forward hook of the layer: its output, mixed; None leaves it."""
        if not self.is_here:
            return None
        if not isinstance(output, Tensor):
            raise TypeError(
                f"layer {self.layer!r} ({type(module).__name__}) must return a single tensor to be mixed, "
                f"got {type_of(output)}"
            )
        return self._mixed(output)

    def _mixed(self, value: Tensor) -> Tensor:
        if self.called:
            raise RuntimeError(
                f"layer {self.layer!r} was called a second time inside the block, which would mix twice: run one "
                "forward in each block, and choose a layer that runs once in it"
            )
        if self.differentiated and not torch.is_grad_enabled() and _is_inside_a_function():
            raise RuntimeError(
                f"layer {self.layer!r} must lie outside of activation checkpointing: it would run once more in the "
                "backward, where it is not mixed, and the gradients would be wrong"
            )
        self.called = True
        if self.plan.k > 1:
            norms = (part for part in self.model.modules() if isinstance(part, _BatchNorm) and part.training)
            self._counted = {norm: _count(norm) for norm in norms}
        try:
            return self.plan.apply(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer {self.layer!r} gives what this plan cannot mix: {error}") from None

    def _warn(self) -> None:
        """Say how many BatchNorm modules have updated their running statistics since the mixing, if any did."""
        norms, plan = sum(_count(norm) > before for norm, before in self._counted.items()), self.plan
        if norms:
            warnings.warn(
                f"plan has k={plan.k}: {norms} BatchNorm module{'s' if norms > 1 else ''} after layer {self.layer!r} "
                f"took running statistics from {plan.k * plan.batch} correlated mixes of {plan.batch} pairs, not from "
                "images; compute them anew before evaluation, with torch.optim.swa_utils.update_bn",
                stacklevel=3,  # past __exit__, to the caller's with statement
            )


def find_layer(model: nn.Module, layer: str) -> nn.Module:
    """The module of this name, the model itself for "input"; ValueError with the nearest names if there is none."""
    return _path(model, layer)[-1]


def check_model_and_plan(model: object, plan: object) -> None:
    """Raise unless these are a module and a plan."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {_check.shown(model)}")
    if not isinstance(plan, MixPlan):
        raise TypeError(f"plan must be a MixPlan, as Mixer.plan draws it, got {_check.shown(plan)}")


def check_unmixed(model: nn.Module) -> None:
    """Raise if a block is open in this thread on the model, or on a part of it."""
    for module in model.modules():
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
            mix = getattr(hook, "__self__", None)
            if isinstance(mix, HiddenMix) and mix.is_here:
                raise RuntimeError(
                    f"this model is already being mixed, at layer {mix.layer!r}, by a hidden_mixing block around this: "
                    "mixing it once more would mix mixes"
                )


def _path(model: nn.Module, layer: object) -> list[nn.Module]:
    """The modules from the model down to the layer; only the model for "input"."""
    wanted = "layer must be 'input' or the name of a module of the model, got "
    if not isinstance(layer, str):
        raise TypeError(wanted + _check.shown(layer))
    path = [model]
    if layer == "input":
        return path
    for part in layer.split("."):
        inner = getattr(path[-1], part, None)  # a compiled module passes the question on to the one it wraps
        if not isinstance(inner, nn.Module):
            raise ValueError(wanted + _check.shown(layer) + _nearest(model, layer))
        path.append(inner)
    return path


def _nearest(model: nn.Module, layer: str) -> str:
    """The end of an error message: the names most like `layer`, first among those that lie as deep."""
    names = [".".join(part for part in name.split(".") if part != "_orig_mod") for name, _ in model.named_modules()]
    names = ["input", *dict.fromkeys(name for name in names if name)]
    as_deep = [name for name in names if name.count(".") == layer.count(".")]
    near = difflib.get_close_matches(layer, as_deep) or difflib.get_close_matches(layer, names, cutoff=0.4)
    if not near:
        return "; model.named_modules() has them all"
    *others, last = map(repr, near)
    return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?"


def _is_compiled_inside(path: list[nn.Module]) -> bool:
    """Whether a hook on the last of these would lie inside something compiled, which may leave it out.

    `module.compile()` takes in the module's own hooks; `torch.compile` of a module, or of its forward, only those of
    the modules within. This reads attributes, as importing the compiler costs 150 MB where nothing is compiled.
    """
    whole = any(module._compiled_call_impl is not None for module in path)
    return whole or any(hasattr(getattr(part, "forward", None), "_torchdynamo_orig_callable") for part in path[:-1])


def _is_inside_a_function() -> bool:
    """Whether this runs in the forward of a torch.autograd.Function, as in a reentrant checkpoint of any library."""
    frames = (frame for frame, _ in traceback.walk_stack(None) if frame.f_code.co_name == "forward")
    locals_ = (value for frame in frames for value in frame.f_locals.values())
    return any(isinstance(value, torch.autograd.function.FunctionCtx) for value in locals_)


def _count(norm: _BatchNorm) -> int:
    """A number that rises with each update of the running statistics, if any; reading it never waits for CUDA."""
    return 0 if norm.num_batches_tracked is None else norm.num_batches_tracked._version


def type_of(value: object) -> str:
    """A value by its type alone: the repr of a tuple of activations would be long, and wait for CUDA."""
    return "None" if value is None else f"a value of type {type(value).__name__}"
