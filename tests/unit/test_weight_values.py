"""The numbers of tensors: what is counted, what is noise, and how large an update is."""

from __future__ import annotations

import io
import math

import numpy
import pytest
from numpy.typing import NDArray

from scanners._formats.tensors.carried_files import carried_file
from scanners._formats.tensors.text_signs import odd_name, signs
from scanners._formats.tensors.update_parts import part_of
from scanners._formats.tensors.update_sizes import deviations, update_of
from scanners._formats.tensors.values import WINDOW, Values, measure, readable

RANDOM = numpy.random.default_rng(7)


def values(data: NDArray[numpy.generic], dtype: str) -> Values:
    raw = data.tobytes()
    return measure(io.BytesIO(b"head" + raw), 4, len(raw), dtype)


@pytest.mark.parametrize(("dtype", "kind"), [("F16", "<f2"), ("F32", "<f4"), ("F64", "<f8")])
def test_the_first_number_that_is_none_is_found_across_windows(dtype: str, kind: str) -> None:
    data = numpy.ones(WINDOW // 2 + 100, kind)
    assert values(data, dtype).bad == 0
    data[WINDOW // 2 + 7 :: 9] = math.nan
    data[-1] = -math.inf
    seen = values(data, dtype)
    assert (seen.bad, seen.first_bad) == (int((~numpy.isfinite(data)).sum()), WINDOW // 2 + 7)


def test_bfloat16_keeps_its_exponent_in_the_upper_half() -> None:
    bits = (RANDOM.normal(size=1000).astype("<f4").view("<u4") >> 16).astype("<u2")
    assert values(bits, "BF16").bad == 0
    bits[[3, 5]] = 0x7F80, 0xFFC1
    assert (values(bits, "BF16").bad, values(bits, "BF16").first_bad) == (2, 3)


def test_zero_and_one_are_told_from_everything_else() -> None:
    assert values(numpy.zeros(10, "<f4"), "F32").zero
    assert values(-numpy.zeros(10, "<f4"), "F32").zero
    assert values(numpy.ones(10, "<f2"), "F16").one
    mixed = values(numpy.array([1.0, -1.0], "<f4"), "F32")
    assert (mixed.zero, mixed.one) == (False, False)
    assert not readable("IQ1_M")


def single(*shape: int) -> NDArray[numpy.float32]:
    return RANDOM.normal(size=shape).astype(numpy.float32)


def suspect(bits: NDArray[numpy.uint32]) -> bool:
    low = values(bits, "F32").low_bits
    return low is not None and low.suspect


def test_honest_numbers_have_honest_low_bits() -> None:
    normal = RANDOM.normal(0, 0.02, 1 << 15).astype("<f4")
    uniform = ((RANDOM.integers(0, 1 << 24, 1 << 15) / (1 << 24)) * 0.5 - 0.25).astype("<f4")
    half = RANDOM.normal(0, 0.02, 1 << 15).astype("<f2").astype("<f4")
    brain = (normal.view("<u4") & 0xFFFF0000).view("<f4")
    grid = (RANDOM.integers(-127, 128, 1 << 15) * 0.0131).astype("<f4")
    for data in (normal, uniform, half, half * numpy.float32(0.3), brain, brain * numpy.float32(1.7), grid):
        assert not suspect(data.astype("<f4").view("<u4"))


def test_what_no_training_leaves_in_low_bits_is_seen() -> None:
    bits = RANDOM.normal(0, 0.02, 1 << 15).astype("<f4").view("<u4")
    text = numpy.frombuffer((b"Some text that is carried along. " * 1000)[: 1 << 15], numpy.uint8)
    assert suspect((bits & ~numpy.uint32(0xFF)) | text)
    assert suspect((bits & ~numpy.uint32(1)) | numpy.unpackbits(text)[: 1 << 15])
    assert suspect(bits | numpy.uint32(1))
    assert suspect((bits | numpy.uint32(1))[:128])


def test_an_update_s_size_is_that_of_the_product() -> None:
    down, up = single(4, 30), single(20, 4)
    made, product = update_of("m", down, up), up @ down
    rows = (product**2).sum(axis=1)
    assert made.size == pytest.approx(float(numpy.linalg.norm(product)), rel=1e-5)
    assert made.row == int(rows.argmax())
    assert made.share == pytest.approx(float(rows.max() / rows.sum()), rel=1e-5)
    gauge = single(4, 4)
    assert update_of("m", numpy.linalg.inv(gauge).astype(numpy.float32) @ down, up @ gauge).size == pytest.approx(
        made.size, rel=1e-3
    )


def test_a_module_off_its_family_s_trend_is_first() -> None:
    def at(layer: int, scale: float) -> NDArray[numpy.float32]:
        return single(64, 4) * numpy.float32(math.exp(0.1 * layer) * scale)

    updates = [update_of(f"layers.{k}.q", single(4, 64), at(k, 40.0 if k == 5 else 1.0)) for k in range(12)]
    first, second, *_ = deviations(updates)
    assert first.update.module == "layers.5.q"
    assert 25 < first.factor < 60
    assert max(second.factor, 1 / second.factor) < 2
    assert deviations(updates[:3]) == []


@pytest.mark.parametrize(
    ("name", "module", "role"),
    [
        ("base_model.model.l.0.q_proj.lora_A.weight", "base_model.model.l.0.q_proj", "down"),
        ("base_model.model.l.0.q_proj.lora_B.default.weight", "base_model.model.l.0.q_proj", "up"),
        ("lora_unet_down_blocks_0_proj.lora_up.weight", "lora_unet_down_blocks_0_proj", "up"),
        ("blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight", "down"),
        ("m.ia3_l", "m", "one"),
        ("m.lora_magnitude_vector", None, None),
        ("model.embed_tokens.weight", None, None),
    ],
)
def test_parts_are_known_by_name(name: str, module: str | None, role: str | None) -> None:
    part = part_of(name)
    assert (part and part.module, part and part.role) == (module, role)


@pytest.mark.parametrize("magic", [b"\x80\x04", b"MZ", b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh9", b"#!", b"c", b"(", b"\x7fELF", b""])
def test_noise_that_begins_like_a_file_is_none(magic: bytes) -> None:
    for scale in (2.0, 20.0, 80.0):
        for _ in range(40):
            noise = RANDOM.normal(0, scale, 2048).round().clip(-128, 127).astype(numpy.int8).tobytes()
            assert carried_file(magic + noise) is None
            assert carried_file(magic + RANDOM.integers(0, 256, 2048, numpy.uint8).tobytes()) is None


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "<a " * 40_000, "curl " * 40_000, "{{ a" * 40_000, "$(cat " * 40_000, "eyJ" * 60_000]
)
def test_long_text_costs_no_more_than_its_length(text: str) -> None:
    assert len(list(signs("note", text))) <= 2


def test_letters_of_other_scripts_are_fine_and_look_alikes_are_not() -> None:
    assert odd_name("层.0.weight") is None
    assert odd_name("lm_head.weight") is None
    assert odd_name("ｌm_head.weight") is not None
    assert odd_name("lm_hеad.weight") is not None
