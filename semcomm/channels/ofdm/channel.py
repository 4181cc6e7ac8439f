"""The channel itself: symbols onto the grid, through the model, and out of the receiver as scalar channels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, nan
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from semcomm.channels.base import Channel, ChannelOutput, checked_snr, complex_normal
from semcomm.channels.ofdm import clipping, mimo
from semcomm.channels.ofdm.estimation import Estimation, Interpolator, interpolators
from semcomm.channels.ofdm.grid import SYMBOLS, Grid
from semcomm.channels.ofdm.mimo import Precoding
from semcomm.channels.ofdm.models import Cell, Model, Profile, Taps
from semcomm.errors import ConfigurationError
from semcomm.seeds import Seed

Csi = Literal["average", "instantaneous", "delayed", "none"]
LONGEST_DELAY = 200
"""Slots that CSI may be old."""


@dataclass(frozen=True)
class _State:
    """The channel of one image at the resource elements that carry its data.

    Attributes:
        true: from antenna to antenna [D, Nr, Nt].
        known: what the receiver knows of it, [D, Nr, Nt].
        past: what the transmitter knows of it, [D, Nr, Nt].
        precoder: [D, Nt, S].
        noise: N0, interference and the error of the estimate [D].
        added: variance of what is added to the signal: N0 and interference.
    """

    true: Tensor
    known: Tensor
    past: Tensor
    precoder: Tensor
    noise: Tensor
    added: float


class OFDM(Channel):
    """OFDM over a channel of 3GPP TR 38.901, from Sionna, with one antenna or several.

    A resource element carries one symbol of each stream. Its total power is 1 over all transmit antennas, E|h|² = 1
    between any two antennas, and N0 is that of each receive antenna: `snr_db` is the mean Es/N0 of one receive antenna.
    The receiver is linear (MMSE; maximum ratio combining for one stream), and what it makes of a symbol is a scalar
    channel again, `gain` and `noise_variance`, so every transceiver runs over it unchanged.

    Channel uses of the ledger are symbols, as everywhere; `streams` of them share a resource element. `pilot_uses`
    counts the elements of pilots, `overhead_uses` what carries no symbol: cyclic prefixes, guard carriers and the empty
    rest of the last slot.

    Delays beyond the cyclic prefix and movement within an OFDM symbol cause interference, which is added as noise of
    its mean power.

    Args:
        snr_db: mean Es/N0 in dB.
        profile: `tdl-a` ... `tdl-e`, `cdl-a` ... `cdl-e`, `umi`, `uma` or `rma`. A cell drops a user for each image,
            without path loss or shadowing.
        delay_spread_ns: RMS delay spread that a TDL or CDL is scaled to; none is 100. A cell draws its own.
        carrier_ghz: carrier frequency, 0.5 to 100.
        speed_kmh: of the receiver; the largest Doppler shift follows.
        subcarriers: that carry data or pilots.
        subcarrier_spacing_khz: 15, 30, 60 or 120 in 5G NR.
        guard_carriers: further carriers at the edges of the band, that carry nothing.
        cyclic_prefix: in samples, of which an OFDM symbol has `subcarriers + guard_carriers` more.
        tx_antennas: of the base station, which sends.
        rx_antennas: of the user.
        streams: symbols per resource element; none takes as many as the antennas allow.
        precoding: `none` sends each stream from an antenna of its own (open loop). `svd` sends along the singular
            vectors of the channel that the transmitter knows, with equal power; `svd-water-filling` with that which is
            best for capacity, so that weak streams may get none and lose their symbols.
        estimation: of the channel by the receiver: `perfect`, without pilots; or from pilots, by `ls` (least squares
            and linear interpolation) or `lmmse`.
        pilot_symbols: OFDM symbols of each slot of 14 that carry pilots, if there is an estimation.
        csi: what the transmitter knows: the `average` SNR; `instantaneous`, what the receiver knows, fed back without
            error; `delayed`, that of `csi_delay_slots` before; or `none`.
        csi_delay_slots: 1 to 200, for delayed CSI. What lies before the image is drawn too, so that CSI may be older
            than the image is long.
        csi_error_db: added to the SNRs that the transmitter knows.
        clip_db: limit of the signal's power at each transmit antenna, in dB over its mean; none for no limit. The
            receiver knows the distortion by its mean power. The PAPR of what is sent is `papr_db` of the results.
    """

    carries: ClassVar = "symbols"

    def __init__(
        self,
        snr_db: float = 10.0,
        profile: Profile = "tdl-c",
        delay_spread_ns: float | None = None,
        carrier_ghz: float = 3.5,
        speed_kmh: float = 3.0,
        subcarriers: int = 240,
        subcarrier_spacing_khz: float = 30.0,
        guard_carriers: int = 16,
        cyclic_prefix: int = 18,
        tx_antennas: int = 1,
        rx_antennas: int = 1,
        streams: int | None = None,
        precoding: Precoding = "none",
        estimation: Estimation = "perfect",
        pilot_symbols: tuple[int, ...] = (2, 11),
        csi: Csi = "average",
        csi_delay_slots: int | None = None,
        csi_error_db: float = 0.0,
        clip_db: float | None = None,
    ) -> None:
        self.snr_db = checked_snr(snr_db)
        in_cell = profile in get_args(Cell)
        if in_cell and delay_spread_ns is not None:
            raise ConfigurationError(f"delay_spread_ns is given, but {profile} draws its own: leave it out")
        for name, value, least in (
            ("delay_spread_ns", 100.0 if delay_spread_ns is None else delay_spread_ns, 0.0),
            ("speed_kmh", speed_kmh, 0.0),
            ("guard_carriers", guard_carriers, 0),
            ("cyclic_prefix", cyclic_prefix, 0),
            ("subcarriers", subcarriers, 1),
            ("tx_antennas", tx_antennas, 1),
            ("rx_antennas", rx_antennas, 1),
        ):
            if not value >= least:
                raise ConfigurationError(f"{name} is {value}; it must be at least {least:g}")
        if not 0.5 <= carrier_ghz <= 100:
            raise ConfigurationError(f"carrier_ghz is {carrier_ghz}; the models are for 0.5 to 100 GHz")
        if not subcarrier_spacing_khz > 0:
            raise ConfigurationError(f"subcarrier_spacing_khz is {subcarrier_spacing_khz}; it must be above 0")
        most = min(tx_antennas, rx_antennas)
        self.streams = most if streams is None else streams
        if not 1 <= self.streams <= most:
            raise ConfigurationError(
                f"streams is {self.streams}, and {tx_antennas} transmit and {rx_antennas} receive antennas allow "
                f"1 to {most}: take fewer streams or more antennas"
            )
        if precoding != "none" and csi not in ("instantaneous", "delayed"):
            raise ConfigurationError(
                f"precoding {precoding!r} needs a transmitter that knows the channel, and csi is {csi!r}: set csi to "
                "'instantaneous' or 'delayed', or precoding to 'none'"
            )
        if (csi == "delayed") != (csi_delay_slots is not None):
            raise ConfigurationError("csi_delay_slots goes with csi 'delayed', and csi 'delayed' with csi_delay_slots")
        if csi_delay_slots is not None and not 1 <= csi_delay_slots <= LONGEST_DELAY:
            raise ConfigurationError(
                f"csi_delay_slots is {csi_delay_slots}; it is 1 to {LONGEST_DELAY} (take csi 'average' for older CSI)"
            )
        pilots = tuple(sorted(set(pilot_symbols))) if estimation != "perfect" else ()
        if estimation != "perfect" and (not pilots or not 0 <= pilots[0] <= pilots[-1] < SYMBOLS):
            raise ConfigurationError(f"pilot_symbols is {pilot_symbols}; estimation needs some of 0 to {SYMBOLS - 1}")
        if len(pilots) == SYMBOLS:
            raise ConfigurationError("pilot_symbols are all symbols of the slot: none is left for data")
        if pilots and subcarriers < 2 * tx_antennas:
            raise ConfigurationError(
                f"subcarriers is {subcarriers}; {tx_antennas} antennas need two pilots each, so {2 * tx_antennas}"
            )
        self.grid = Grid(subcarriers, 1e3 * subcarrier_spacing_khz, guard_carriers, cyclic_prefix, pilots, tx_antennas)
        delay_spread = None if in_cell else 1e-9 * (100.0 if delay_spread_ns is None else delay_spread_ns)
        self.model = Model(profile, delay_spread, 1e9 * carrier_ghz, speed_kmh / 3.6, rx_antennas, tx_antennas)
        self.precoding, self.estimation = precoding, estimation
        self.known_csi, self.csi_error_db = csi, csi_error_db
        self.csi_delay = SYMBOLS * (csi_delay_slots or 0)
        self.clip_db = clip_db
        self._kept: list[Interpolator] = []

    def carry(self, sent: Sequence[Tensor], seeds: Sequence[Seed]) -> ChannelOutput:
        """Send the symbols of each image in as many slots as they need."""
        rows = [self._carry_one(x, seed) for x, seed in zip(sent, seeds)]
        received, gain, noise, papr_db = map(list, zip(*rows)) if rows else ([], [], [], [])
        elements = [len(x) / self.streams for x in sent]
        if self.estimation == "perfect":
            noise = torch.tensor([float(variance[0]) if len(variance) else self._n0 for variance in noise])
        return ChannelOutput(
            received=received,
            gain=gain,
            noise_variance=noise,
            pilot_uses=torch.tensor([float(self.grid.slots(n) * self.grid.pilots) for n in elements]),
            overhead_uses=torch.tensor([self.grid.overhead(n) for n in elements], dtype=torch.float64),
            streams=torch.tensor(float(self.streams)).expand(len(sent)),
            papr_db=torch.tensor(papr_db),
        )

    def _carry_one(self, x: Tensor, seed: Seed) -> tuple[Tensor, Tensor, Tensor, float]:
        """Return what was received [k], gains [k], noise variances [k], and the PAPR in dB."""
        if not len(x):
            return x, torch.zeros(0), torch.zeros(0), nan
        state = self._state(seed, len(x))
        elements = len(state.true)
        layers = torch.cat([x, x.new_zeros(elements * self.streams - len(x))]).reshape(elements, self.streams)
        antennas = layers if self._alone else (state.precoder * layers[:, None]).sum(2)
        antennas, papr_db = self._radiated(antennas, state.precoder)
        noise = complex_normal(elements * state.true.shape[1], seed.generator("noise")).reshape(elements, -1)
        y = (state.true * antennas[:, None]).sum(2) + state.added**0.5 * noise
        channel, filter_ = self._from_streams(state.known, state)
        if filter_ is not None:
            y = (filter_ * y[:, None]).sum(2)
        received, gain = mimo.receive(y, channel, state.noise)
        variance = state.noise.repeat_interleave(self.streams)
        return received.flatten()[: len(x)], gain.flatten()[: len(x)], variance[: len(x)], papr_db

    def _radiated(self, antennas: Tensor, precoder: Tensor) -> tuple[Tensor, float]:
        """Return what the antennas send [D, Nt], clipped if it is to be, and its PAPR in dB."""
        grid, (elements, count) = self.grid, antennas.shape
        padded = torch.cat([antennas, antennas.new_zeros(-elements % grid.subcarriers, count)])
        symbols = padded.T.reshape(count, -1, grid.subcarriers)
        if self.clip_db is not None:
            power = _antenna_power(precoder)[:, None, None]
            symbols = clipping.clipped(symbols, grid, self.clip_db, power)
            antennas = symbols.flatten(1).T[:elements]
        return antennas, clipping.papr_db(symbols, grid)

    def _from_streams(self, antennas: Tensor, state: _State) -> tuple[Tensor, Tensor | None]:
        """Return the channel from streams to receive antennas [D, Nr, S], and the filter that whitens its noise."""
        filter_ = None
        if self.clip_db is not None:
            factor, distortion = clipping.clipping_of(self.clip_db, self.grid)
            filter_ = mimo.whitening(antennas, state.noise, distortion * _antenna_power(state.precoder))
            antennas = factor * (filter_ @ antennas)
        return antennas if self._alone else antennas @ state.precoder, filter_

    @property
    def _n0(self) -> float:
        return 10 ** (-self.snr_db / 10)

    @property
    def _alone(self) -> bool:
        """Whether there is one transmit antenna, and so nothing to precode."""
        return self.grid.antennas == 1

    def _state(self, seed: Seed, channel_uses: int) -> _State:
        grid, generator = self.grid, seed.generator("fading")
        elements = ceil(channel_uses / self.streams)
        steps = SYMBOLS * grid.slots(elements)
        taps = self.model.taps(generator, steps, grid.seconds)
        true = whole = taps.response(grid.frequencies())
        if self.csi_delay:
            before = self.model.taps(generator, self.csi_delay + 1, -grid.seconds).response(grid.frequencies())
            whole = torch.cat([before.flip(0)[:-1], true])
        added = self._n0 + self.model.interference(taps, grid)
        error = torch.zeros(())
        if self.estimation != "perfect":
            whole, error = self._estimated(whole, taps, added, seed)
        known, past = (grid.data(part, elements) for part in (whole[self.csi_delay :], whole[:steps]))
        precoder = mimo.precoder(past, self.streams, self.precoding, added)
        noise = torch.full((elements,), added)
        if self.estimation != "perfect":
            error = grid.data(error.repeat(steps // SYMBOLS, 1, 1), elements)
            noise = noise + (error * precoder.abs().square().sum(2)).sum(1)
        return _State(grid.data(true, elements), known, past, precoder, noise, added)

    def _estimated(self, channel: Tensor, taps: Taps, noise: float, seed: Seed) -> tuple[Tensor, Tensor]:
        """Return the estimate of a channel [T, F, Nr, Nt] from pilots, and its error variance [SYMBOLS, F, Nt]."""
        slots = channel.unflatten(0, (-1, SYMBOLS))
        seen = slots[:, list(self.grid.pilot_symbols)]  # [slots, P_t, F, Nr, Nt]; each antenna sends on its carriers
        before = self.csi_delay // SYMBOLS
        shape, count = seen.shape[1:4], seen[0, ..., 0].numel()
        drawn = [
            complex_normal(count * n, seed.generator(purpose)).reshape(n, *shape)
            for purpose, n in (("earlier pilots", before), ("pilots", len(slots) - before))
        ]
        observed = noise**0.5 * torch.cat([drawn[0].flip(0), drawn[1]])
        estimates, errors = [], []
        for antenna, estimator in enumerate(self._interpolators(taps, noise)):
            own = slice(antenna, None, self.grid.antennas)
            pilots = (seen[:, :, own, :, antenna] + observed[:, :, own]).movedim(3, 1)
            estimates.append(estimator(pilots).movedim(1, 3).flatten(0, 1))
            errors.append(estimator.error)
        return torch.stack(estimates, -1), torch.stack(errors, -1)

    def _interpolators(self, taps: Taps, noise: float) -> list[Interpolator]:
        """Return the estimators of this channel; of a cell they are made anew for each user."""
        if self.model.profile in get_args(Cell):
            return interpolators(self.estimation, self.grid, self.model.expected(taps), self.model.doppler, noise)
        if not self._kept:
            # the interference in `noise` varies with the draw; its mean is what the estimator reckons with
            expected = self.model.expected(taps)
            mean = self._n0 + self.model.interference_of(expected.powers, expected.delays, self.grid)
            self._kept += interpolators(self.estimation, self.grid, expected, self.model.doppler, mean)
        return self._kept

    def csi(self, seeds: Sequence[Seed]) -> Tensor:
        """Return the SNR that the transmitter knows, in dB, per image [B].

        With instantaneous or delayed CSI, the mean over the symbols of the first slot; else `snr_db`.
        """
        if self.known_csi == "none":
            return torch.full((len(seeds),), nan)
        snr_db = torch.full((len(seeds),), self.snr_db + self.csi_error_db)
        if self.known_csi != "average":
            slot = self.grid.elements * self.streams
            found = [self._gains(self._state(seed, slot), slot, past=True).square().mean() for seed in seeds]
            snr_db = snr_db + 10 * torch.log10(torch.stack(found))
        return snr_db

    def gains(self, seeds: Sequence[Seed], channel_uses: Sequence[int]) -> list[Tensor]:
        """Return the gain of each symbol [k], per image: the root of SNR·N0 after the receiver, `N0` being nominal."""
        return [self._gains(self._state(seed, count), count) for seed, count in zip(seeds, channel_uses)]

    def known_gains(self, seeds: Sequence[Seed], channel_uses: Sequence[int]) -> list[Tensor] | None:
        """Return the gains as the transmitter knows them; None where `csi` is the average or none."""
        if self.known_csi in ("average", "none"):
            return None
        factor = 10 ** (self.csi_error_db / 20)
        return [
            factor * self._gains(self._state(seed, count), count, past=True) for seed, count in zip(seeds, channel_uses)
        ]

    def _gains(self, state: _State, count: int, past: bool = False) -> Tensor:
        channel, _ = self._from_streams(state.past if past else state.known, state)
        gains = mimo.stream_gains(channel, state.noise) * (self._n0 / state.noise[:, None]).sqrt()
        return gains.flatten()[:count]

    def capacity(self, seeds: Sequence[Seed], channel_uses: Sequence[int] | None = None) -> Tensor:
        """Return the mean of log2(1 + SNR) over the symbols, after a receiver that knows the channel, per image [B].

        In bits per symbol: times `streams` it is that of a resource element. With exact CSI and water-filling that is
        the capacity of the MIMO channel under a power limit for each element; in open loop, what a linear receiver
        reaches.

        Args:
            seeds: one per image.
            channel_uses: per image; none takes those of one slot.
        """
        counts = channel_uses or [self.grid.elements * self.streams] * len(seeds)
        means = []
        for seed, count in zip(seeds, counts):
            state = self._state(seed, count)
            state = replace(state, known=state.true, noise=torch.full_like(state.noise, state.added))
            means.append(torch.log2(1 + self._gains(state, count).double() ** 2 / self._n0).mean())
        return torch.stack(means)


def _antenna_power(precoder: Tensor) -> Tensor:
    """Return the nominal mean power of each transmit antenna [Nt]."""
    return precoder.abs().square().sum(2).mean(0)
