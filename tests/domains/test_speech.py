"""Spectrograms against scipy and their formulas in float64; speech and its mixing; SpecAugment."""

import io
import threading
import wave
import zipfile
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import scipy.signal
import torch
from refusals import each_refused
from same_weights import differing
from seeding import seeded

import mixlab as mx
from mixlab.data.cache import DataError
from mixlab.domains import graphs, predict, speech, text, train
from mixlab.domains.public_data import PublicData, digest
from mixlab.domains.spectrogram import log_mel, mel_filters, power, stft, wave_of

NOISE = torch.randn(3, 2000, generator=seeded())


@pytest.fixture(scope="module", autouse=True)
def drawn_once():
    """Tones take a second to draw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech, "spoken_tones", cache(speech.spoken_tones))
        yield


@pytest.fixture(scope="module")
def problem():
    return speech.load("generated").smaller(200)


def scipys_power(waves: np.ndarray) -> np.ndarray:
    """From a library of its own, in float64: [N, 129, frames]."""
    window = scipy.signal.get_window("hann", 256)
    padded = np.pad(waves.astype(np.float64), [(0, 0), (128, 128)], mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 256, axis=-1)[:, ::128]
    return (np.abs(scipy.fft.rfft(frames * window)) ** 2).transpose(0, 2, 1) / (window**2).sum()


def triangles() -> np.ndarray:
    """Mel bands, one number at a time: [129, 32]."""
    hertz = [700 * (10 ** (2595 * np.log10(1 + 4000 / 700) * i / 33 / 2595) - 1) for i in range(34)]
    corners = list(zip(hertz, hertz[1:], hertz[2:], strict=False))
    return np.array([
        [max(0, min((f - low) / (mid - low), (high - f) / (high - mid))) for low, mid, high in corners]
        for f in np.arange(129) * 4000 / 128
    ])  # fmt: skip


def test_log_mel_is_scipys() -> None:
    theirs = scipys_power(NOISE.numpy())
    np.testing.assert_allclose(power(NOISE), theirs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mel_filters(), triangles(), atol=1e-6)
    np.testing.assert_allclose(log_mel(NOISE), np.log(1e-6 + triangles().T @ theirs), atol=1e-3)
    assert log_mel(NOISE.view(3, 1, 2000)).shape == (3, 1, 32, 16)


def test_power_is_not_linear_and_its_cross_term_is_known() -> None:
    a, b, lam = NOISE[0], NOISE[1], 0.3
    scale = scipy.signal.get_window("hann", 256).__pow__(2).sum()
    cross = 2 * lam * (1 - lam) * (stft(a) * stft(b).conj()).real / scale
    blended = power(lam * a + (1 - lam) * b)
    torch.testing.assert_close(blended, lam**2 * power(a) + (1 - lam) ** 2 * power(b) + cross.float())
    assert (blended - (lam * power(a) + (1 - lam) * power(b))).abs().max() > 0.1


def test_a_wave_is_rebuilt_from_its_spectrogram() -> None:
    tone = torch.sin(torch.arange(4000) * 0.3) * torch.hann_window(4000)
    target = power(tone)
    errors = [float((power(wave_of(target, 4000, steps=n)) - target).norm() / target.norm()) for n in (1, 60)]
    assert errors[1] < min(0.2, errors[0] / 2)


def test_forms_are_one_spectrogram_in_four_shapes(problem) -> None:
    waves = torch.randn(2, 8000, generator=seeded())
    frames = speech.as_form(waves, "frames")
    assert torch.equal(frames, speech.as_form(waves, "bands").transpose(1, 2))
    assert torch.equal(frames, speech.as_form(waves, "picture")[:, 0])
    assert frames.shape == (2, 32, 63)
    models = {form: speech.SpeechNet(10, form=form).eval() for form in speech.FORMS}
    logits = [model(speech.as_form(waves, form)) for form, model in models.items()]
    for other in logits[1:]:
        torch.testing.assert_close(other, logits[0])


@pytest.mark.parametrize(
    ("form", "mixer"),
    [
        ("waves", mx.Mixer("mixup", k=5)),
        ("waves", mx.Mixer("manifold", layers=["spectrogram"], k=2)),
        ("waves", mx.Mixer("cutmix")),
        ("frames", mx.Mixer("cutmix", k=2)),
        ("bands", mx.Mixer("cutmix")),
        ("picture", mx.Mixer("cutmix", k=5)),
    ],
    ids=str,
)
def test_every_form_trains_with_its_mixers(problem, form, mixer) -> None:
    x = speech.as_form(torch.randn(32, 8000, generator=seeded()), form)
    some = replace(problem, train=(x, problem.train[1][:32]))
    model, before = (speech.SpeechNet(10, form=form) for _ in range(2))
    train(some, model, mixer, epochs=1)
    assert len(differing(model, before)) > 5


def test_stand_in_is_learnable_and_split_by_takes_or_by_voice(problem) -> None:
    model = speech.SpeechNet(10)
    train(problem, model, epochs=12)
    assert predict(problem, model).correct.double().mean() > 0.5
    assert (len(speech.load("generated").train[1]), len(problem.test[1])) == (2700, 300)
    assert torch.bincount(problem.test[1]).tolist() == [30] * 10
    held = speech.load("generated", held_out="voice 3")
    assert torch.bincount(held.test[1]).tolist() == [50] * 10
    assert "stand-in" in held.source


def test_recordings_are_equally_loud() -> None:
    arrays = speech.spoken_tones()
    waves = speech.Waves(arrays, torch.arange(5, 3000, 7))
    lengths = torch.from_numpy(np.diff(arrays["offsets"]))[5::7]
    torch.testing.assert_close(waves[:][:, 0].square().sum(1) / lengths, torch.ones(len(waves)))
    last = arrays["audio"][arrays["offsets"][12] : arrays["offsets"][13]]
    assert np.corrcoef(waves[torch.tensor([1])][0, 0, : len(last)], last)[0, 1] > 0.9999
    assert torch.equal(waves[torch.arange(len(waves)) == 1], waves[1:2])


def test_silence_stays_silent() -> None:
    arrays = {"audio": np.r_[np.zeros(300), np.ones(300)].astype(np.int16), "offsets": np.array([0, 300, 600])}
    waves = speech.Waves(arrays, torch.arange(2))[:]
    assert waves.sum(2).flatten().tolist() == [0, 300]


def test_spec_augment_hides_one_range_of_each_axis() -> None:
    x = torch.randn(200, 1, 32, 63, generator=seeded())
    hidden = (speech.spec_augment(x, seeded(1)) != x)[:, 0]
    rows, columns = hidden.all(2), hidden.all(1)
    assert torch.equal(hidden, rows[:, :, None] | columns[:, None, :])
    for span, most in ((rows, 8), (columns, 16)):
        edges = (span[:, 1:] != span[:, :-1]).sum(1) + span[:, 0].long() + span[:, -1].long()
        assert set(edges.tolist()) <= {0, 2}
        counts = torch.bincount(span.sum(1), minlength=most + 1)
        assert len(counts) == most + 1
        assert scipy.stats.chisquare(counts).pvalue > 1e-3


def recordings(stream: np.random.Generator) -> bytes:
    """A repository's zip of four recordings."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("fsdd/recordings/README.md", "no recording")
        for name in ("7_theo_10", "7_theo_9", "0_theo_3", "0_ann_3"):
            file = io.BytesIO()
            with wave.open(file, "wb") as recording:
                recording.setparams((1, 2, 8000, 0, "NONE", ""))
                recording.writeframes(stream.integers(-9, 9, len(name) * 100).astype("<i2").tobytes())
            archive.writestr(f"fsdd/recordings/{name}.wav", file.getvalue())
    return content.getvalue()


def test_public_data_is_fetched_once_proven_and_kept(tmp_path, capsys) -> None:
    (tmp_path / "fsdd.zip").write_bytes(recordings(np.random.default_rng(0)))
    url = (tmp_path / "fsdd.zip").as_uri()
    arrays = speech.SPOKEN_DIGITS.unpack([(tmp_path / "fsdd.zip").read_bytes()])
    assert arrays["labels"].tolist() == [0, 0, 7, 7]
    assert arrays["speakers"].tolist() == [0, 1, 1, 1]
    assert arrays["takes"].tolist() == [3, 3, 9, 10]
    assert np.diff(arrays["offsets"]).tolist() == [700, 800, 800, 900]
    four = PublicData("Four Digits", "four", (url,), speech.SPOKEN_DIGITS.unpack, digest(arrays))
    assert [four.load("auto", tmp_path) for _ in range(2)] == [None, None]
    assert capsys.readouterr().out.count("generated stand-in") == 1
    fetched = four.load("public", tmp_path)
    (tmp_path / "fsdd.zip").unlink()
    for kept in (fetched, four.load("public", tmp_path), four.load("auto", tmp_path)):
        assert digest(kept) == four.sha256
    whole = four.path(tmp_path).read_bytes()
    for broken in (b"", b"broken", whole[:-90], whole[:99] + bytes(20) + whole[119:]):
        four.path(tmp_path).write_bytes(broken)
        assert four.load("auto", tmp_path) is None
        with pytest.raises(DataError, match="cannot be downloaded"):
            four.load("public", tmp_path)
    other = PublicData("Other", "other", (four.path(tmp_path).as_uri(),), lambda _: arrays, "0" * 64)
    with pytest.raises(DataError, match=r"is not Other: sha256"):
        other.load("public", tmp_path)
    assert not other.path(tmp_path).exists()
    (tmp_path / "fsdd.zip").write_bytes(b"<html>log in</html>")
    for unpack in (speech.SPOKEN_DIGITS.unpack, graphs.SETS["mutag"].unpack, text.SETS["trec"].unpack):
        with pytest.raises(DataError, match="what was downloaded is not Page"):
            PublicData("Page", "page", (url,), unpack, "0" * 64).load("public", tmp_path)


@pytest.mark.parametrize("answer", [b"HTTP/1.0 200 OK\r\nContent-Length: 900\r\n\r\nhalf", b"junk\r\n\r\n", b""])
def test_a_download_that_breaks_off_leaves_nothing(tmp_path, capsys, answer) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(answer)

        def log_message(self, *_) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/file"
        with pytest.raises(DataError, match=f"{url} cannot be downloaded"):
            PublicData("T", "t", (url,), lambda _: {}, digest({})).load("public", tmp_path)
    assert list((tmp_path / "beyond").iterdir()) == []
    capsys.readouterr()


test_refused = each_refused(
    (
        lambda: speech.SpeechNet(3)(torch.zeros(2, 1, 80, 99)),
        r"x must be \[batch, 1, 32, T\] in form 'picture', got .* \[2, 1, 80, 99\]",
    ),
    (
        lambda: speech.SpeechNet(3, form="waves")(torch.zeros(2, 8000)),
        r"x must be \[batch, 1, T\] in form 'waves', got",
    ),
    (lambda: speech.load("fsdd"), "which must be one of 'auto'"),
    (lambda: speech.load("generated", form="frame"), "form must be one of .* did you mean 'frames'"),
    (lambda: speech.load("generated", held_out="theo"), "held_out must be one of 'voice 0'"),
    (lambda: log_mel(torch.zeros(3, 100)), "waves must be float32 waves"),
    (lambda: speech.spec_augment(torch.zeros(3, 32, 63), seeded()), "x must be pictures"),
    (
        lambda: speech.spec_augment(torch.zeros(3, 1, 32, 63), seeded(), bands=-1),
        "bands must be an integer of at least 0",
    ),
    (lambda: wave_of(torch.zeros(129, 5), 8000), r"spectrogram must be powers of at least 0, \[129, 63\]"),
    (lambda: wave_of(-torch.ones(129, 3), 256), "spectrogram must be powers of at least 0"),
)
