"""The channel models of 3GPP TR 38.901, from Sionna: taps in time, responses over a grid, what they let expect."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import pi
from threading import RLock
from typing import Literal, get_args

import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.channels.ofdm.grid import Grid

Link = Literal["tdl-a", "tdl-b", "tdl-c", "tdl-d", "tdl-e", "cdl-a", "cdl-b", "cdl-c", "cdl-d", "cdl-e"]
Cell = Literal["umi", "uma", "rma"]
Profile = Literal[Link, Cell]
LIGHT = 299_792_458.0
LINE_OF_SIGHT = ("tdl-d", "tdl-e")
"""Profiles whose first tap has a path of a Doppler shift of its own, 0.7 of the largest."""
_lock = RLock()


@dataclass(frozen=True)
class Taps:
    """A channel in time.

    Attributes:
        coefficients: `complex64` [paths, T, Nr, Nt].
        delays: in s, `float32` [paths].
    """

    coefficients: Tensor
    delays: Tensor

    @property
    def powers(self) -> Tensor:
        """Mean power of each path, over time and antennas [paths]."""
        return self.coefficients.abs().square().mean((1, 2, 3))

    def response(self, frequencies: Tensor) -> Tensor:
        """Return the frequency response `complex64` [T, F, Nr, Nt] at frequencies in Hz [F]."""
        phases = torch.polar(torch.ones(()), -2 * pi * self.delays[:, None] * frequencies)
        paths, *rest = self.coefficients.shape
        response = self.coefficients.reshape(paths, -1).T @ phases
        return response.unflatten(0, rest).movedim(-1, 1)


@dataclass(frozen=True)
class Expected:
    """Prior knowledge of a receiver about a channel: the statistics of its taps.

    Attributes:
        powers: of each tap [paths].
        delays: of each tap in s [paths].
        sight: whether the first tap is a path of Doppler shift 0.7 of the largest; all others have Clarke's spectrum.
        spread_in_zenith: whether the direction of movement is random in zenith too (Sionna's CDL), and not just in
            azimuth: the correlation is then J0(x/2)², not J0(x).
    """

    powers: Tensor
    delays: Tensor
    sight: bool = False
    spread_in_zenith: bool = False

    def in_time(self, doppler: float, lags: Tensor) -> Tensor:
        """Return each tap's correlation at `lags` in s [...], `complex128` [paths, ...]; `doppler` is in Hz."""
        from scipy.special import j0

        x = 2 * pi * doppler * lags.double()
        diffuse = torch.from_numpy(j0(x.numpy() / 2) ** 2 if self.spread_in_zenith else j0(x.numpy()))
        rows = [diffuse.to(torch.complex128)] * len(self.powers)
        if self.sight:
            rows[0] = torch.polar(torch.ones_like(x), 0.7 * x)
        return torch.stack(rows)


@dataclass(frozen=True)
class Model:
    """A channel model and its settings, as Sionna takes them.

    Antennas are a row of vertical ones without a pattern, half a wavelength apart (CDL and cells), or see independent
    fading (TDL). The base station sends; path loss and shadowing are left out, so that E|h|² = 1 between two antennas.
    """

    profile: Profile
    delay_spread: float | None
    carrier: float
    speed: float
    rx_antennas: int
    tx_antennas: int

    @property
    def doppler(self) -> float:
        """The largest Doppler shift in Hz."""
        return self.speed / LIGHT * self.carrier

    def taps(self, generator: torch.Generator, steps: int, seconds: float) -> Taps:
        """Draw a channel.

        The draw does not depend on `steps` or `seconds`, and not on Sionna's own random state, which stays as it was.

        Args:
            generator: on the CPU; left as it was.
            steps: how many points in time, from 0.
            seconds: between them; negative to look back.
        """
        with _lock, _random_state_of(generator, _model(self)) as model:
            if self.profile in get_args(Cell):
                model.set_topology(*_topology(self))
                coefficients, delays = model(steps, 1 / seconds)
            else:
                coefficients, delays = model(1, steps, 1 / seconds)
        coefficients = coefficients[0, 0, :, 0].permute(2, 3, 0, 1).contiguous()  # [paths, T, Nr, Nt]
        present = coefficients.abs().amax((1, 2, 3)) > 0  # a cell's unused paths have arbitrary delays
        return Taps(coefficients[present], delays[0, 0, 0][present])

    def expected(self, drawn: Taps) -> Expected:
        """Return the statistics of the profile; of a cell, which has none, those of this draw's delays and powers."""
        if self.profile in get_args(Cell):
            return Expected(drawn.powers, drawn.delays)
        with _lock:
            model = _model(self)
            if self.profile.startswith("cdl"):  # which has them under no public name
                diffuse, k_factor = model._powers, model._k_factor
                powers = diffuse / (1 + k_factor)
                powers[0] += k_factor / (1 + k_factor)  # the line of sight comes with the first cluster
                return Expected(powers, model._delays, spread_in_zenith=True)
            powers, delays = model.mean_powers, model.delays
            if self.profile in LINE_OF_SIGHT:
                sight = model.mean_power_los
                powers = torch.cat([sight[None], powers[:1] - sight, powers[1:]])
                return Expected(powers, torch.cat([delays[:1], delays]), sight=True)
            return Expected(powers, delays)

    def interference(self, drawn: Taps, grid: Grid) -> float:
        """Return the power of what OFDM does not keep apart, for a signal of power 1, to be treated as noise.

        Paths that come later than the cyclic prefix is long, by a share x of an OFDM symbol, bring 2x - x² of their
        power as interference from the symbol before and from other carriers. Movement brings at most (pi·fd·T)²/6
        (Li and Cimini 2001, Bounds on the interchannel interference of OFDM in time-varying impairments).
        """
        return self.interference_of(drawn.powers, drawn.delays, grid)

    def interference_of(self, powers: Tensor, delays: Tensor, grid: Grid) -> float:
        """Return the `interference` of paths of these powers and delays in s."""
        late = (delays * grid.spacing - grid.prefix_share).clamp(0, 1)
        moving = (pi * self.doppler / grid.spacing) ** 2 / 6
        return float((powers * (2 * late - late**2)).sum()) + moving


@contextmanager
def _random_state_of(generator: torch.Generator, model: object) -> Iterator[object]:
    """Let Sionna's `model` draw what `generator` would, and put Sionna's own random state back."""
    from sionna.phy import config

    own = config.torch_rng("cpu")
    before = own.get_state()
    own.set_state(generator.get_state())
    try:
        yield model
    finally:
        own.set_state(before)


@cached(most=16)
def _model(model: Model) -> object:
    """Return Sionna's object for a model; building one takes longer than a draw."""
    from sionna.phy.channel import tr38901

    family, _, letter = model.profile.partition("-")
    on_cpu = {"precision": "single", "device": "cpu"}
    if family == "tdl":
        antennas = {"num_rx_ant": model.rx_antennas, "num_tx_ant": model.tx_antennas}
        speed = {"min_speed": model.speed, "max_speed": model.speed}
        return tr38901.TDL(letter.upper(), model.delay_spread, model.carrier, **speed, **antennas, **on_cpu)
    row = {"polarization": "single", "polarization_type": "V", "antenna_pattern": "omni"}
    arrays = {
        name: tr38901.PanelArray(1, count, carrier_frequency=model.carrier, **row, **on_cpu)
        for name, count in (("ut_array", model.rx_antennas), ("bs_array", model.tx_antennas))
    }
    if family == "cdl":
        return tr38901.CDL(
            letter.upper(),
            model.delay_spread,
            model.carrier,
            **arrays,
            direction="downlink",
            min_speed=model.speed,
            max_speed=model.speed,
            **on_cpu,
        )
    cell = {"umi": tr38901.UMi, "uma": tr38901.UMa, "rma": tr38901.RMa}[family]
    indoors = {} if family == "rma" else {"o2i_model": "low"}
    plain = {"direction": "downlink", "enable_pathloss": False, "enable_shadow_fading": False}
    cell = cell(model.carrier, **indoors, **arrays, **plain, **on_cpu)
    with _random_state_of(torch.Generator(), cell):
        cell.set_topology(*_topology(model))  # what it sets up for the first user draws random numbers too
    return cell


def _topology(model: Model) -> tuple[Tensor, ...]:
    """Drop one user into a sector of the cell, as TR 38.901 has it for the scenario; antennas stay upright."""
    from sionna.phy.channel import gen_single_sector_topology

    speed = {"min_ut_velocity": model.speed, "max_ut_velocity": model.speed}
    topology = gen_single_sector_topology(1, 1, model.profile, **speed, precision="single", device="cpu")
    upright = torch.tensor([1.0, 0.0, 0.0])
    user, station, user_turn, station_turn, *rest = topology
    return user, station, user_turn * upright, station_turn * upright, *rest
