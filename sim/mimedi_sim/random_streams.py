# SPDX-License-Identifier: Apache-2.0
"""Counter-based random streams: a reading at sample index k is the same whatever was asked before.

Every stream is keyed by (seed, device, channel); its i-th uniform is a pure function of that key and i
(Philox-4x64, counter mode). All other laws are inverse transforms of that uniform, so they depend neither
on NumPy's sampling algorithms nor on the order of the calls. Two laws asked of one stream at one index are
therefore correlated: give each quantity its own channel.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox).
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrik, ndtri, pdtrik

PATTERN_SCALE = 1024
"""Steps per standard deviation of `RandomStream.pattern`."""
_BLOCK_SIZE = 256
_BLOCKS_KEPT = 8
_SPARSE_TOUCHES = 4
_PHILOX_WORDS_PER_COUNTER = 4
# Above this variance a rounded normal quantile is closer to the discrete law than the iterative inverse
# of the incomplete gamma/beta functions is in double precision.
_LARGE_VARIANCE = 1.0e8


_M0, _M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_MASK = (1 << 64) - 1
_ROUNDS = 10


def philox_keys(key: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the two key words of each of the ten rounds of Philox-4x64-10. Source: as `philox_words`."""
    return tuple(((key[0] + n * _WEYL[0]) & _MASK, (key[1] + n * _WEYL[1]) & _MASK) for n in range(_ROUNDS))


def philox_words(counter: int, keys: tuple[tuple[int, int], ...]) -> tuple[int, int, int, int]:
    """Return the four 64-bit words of Philox-4x64-10 at a counter: those of NumPy's generator, without making one.

    Args: keys: of the rounds, see `philox_keys`.
    Source: Salmon et al. 2011, section 3.3 and table 2.
    """
    m0, m1, mask = _M0, _M1, _MASK
    c0, c1, c2, c3 = counter, 0, 0, 0
    for k0, k1 in keys:
        p0, p1 = m0 * c0, m1 * c2
        c0, c1, c2, c3 = (p1 >> 64) ^ c1 ^ k0, p1 & mask, (p0 >> 64) ^ c3 ^ k1, p0 & mask
    return c0, c1, c2, c3


class RandomStream:
    """Random numbers of one device channel, addressed by sample index (0, 1, 2, …)."""

    def __init__(self, seed: int, device: str, channel: str) -> None:
        self.seed, self.device, self.channel = int(seed), device, channel
        text = f"{self.seed}\x1f{device}\x1f{channel}".encode()
        digest = hashlib.blake2b(text, digest_size=16).digest()
        self._key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
        self._round_keys: tuple[tuple[int, int], ...] = ()
        self._touched, self._touches = -1, 0  # the block asked of last, and how often
        self._uniform_blocks: dict[int, list[float]] = {}
        self._normal_blocks: dict[int, list[float]] = {}

    def __repr__(self) -> str:
        return f"RandomStream(seed={self.seed}, device={self.device!r}, channel={self.channel!r})"

    def _raw_uniforms(self, block: int, blocks: int = 1) -> npt.NDArray[np.float64]:
        """Return the uniforms of consecutive blocks: the generator counts on by itself from the first one's counter."""
        counter = block * (_BLOCK_SIZE // _PHILOX_WORDS_PER_COUNTER)
        raw = np.random.Philox(key=self._key, counter=counter).random_raw(blocks * _BLOCK_SIZE)
        # 53 significant bits, shifted by half a step: strictly inside (0, 1) so that quantiles are finite.
        return ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

    def _is_sparse(self, block: int) -> bool:
        """Tell whether a block has been asked of too rarely to be worth drawing whole."""
        self._touches = self._touches + 1 if block == self._touched else 1
        self._touched = block
        return self._touches <= _SPARSE_TOUCHES

    def _one(self, index: int) -> float:
        """Return one uniform by itself: cheaper than its block, which a slow sensor would leave unused."""
        # NumPy's generator counts before it draws.
        if not self._round_keys:
            self._round_keys = philox_keys((int(self._key[0]), int(self._key[1])))
        word = philox_words(index // _PHILOX_WORDS_PER_COUNTER + 1, self._round_keys)[index % _PHILOX_WORDS_PER_COUNTER]
        return ((word >> 11) + 0.5) * 2.0**-53

    def _block(self, cache: dict[int, list[float]], block: int, normal: bool) -> list[float]:
        values = cache.get(block)
        if values is None:
            uniform = self._raw_uniforms(block)
            values = (ndtri(uniform) if normal else uniform).tolist()
            if len(cache) >= _BLOCKS_KEPT:
                cache.pop(next(iter(cache)))
            cache[block] = values
        return values

    def uniform(self, index: int) -> float:
        """Return the uniform number of (0, 1) at a sample index.

        Raises: ValueError if the index is negative.
        """
        if index < 0:
            raise ValueError(f"index is {index}; sample indices count from 0")
        block = index >> 8
        if block not in self._uniform_blocks and self._is_sparse(block):
            return self._one(index)
        return self._block(self._uniform_blocks, block, normal=False)[index & 255]

    def normal(self, index: int, mean: float = 0.0, standard_deviation: float = 1.0) -> float:
        """Return a normal deviate at a sample index, in the units of mean and standard_deviation.

        Raises: ValueError if the index is negative.
        """
        if index < 0:
            raise ValueError(f"index is {index}; sample indices count from 0")
        block = index >> 8
        if block not in self._normal_blocks and self._is_sparse(block):
            return mean + standard_deviation * float(ndtri(self._one(index)))
        return mean + standard_deviation * self._block(self._normal_blocks, block, normal=True)[index & 255]

    def lognormal(self, index: int, mean: float, cv: float) -> float:
        """Return a lognormal deviate with the given arithmetic mean and coefficient of variation."""
        sigma = math.sqrt(math.log1p(cv * cv))
        return mean * math.exp(sigma * self.normal(index) - 0.5 * sigma * sigma)

    def exponential(self, index: int, mean: float) -> float:
        """Return an exponential deviate with the given mean."""
        return -mean * math.log(self.uniform(index))

    def poisson(self, index: int, mean: float) -> int:
        """Return a Poisson count with the given mean.

        Raises: ValueError if the mean is negative or not finite.
        """
        if not 0.0 <= mean < math.inf:
            raise ValueError(f"mean is {mean}; a Poisson mean must be finite and >= 0")
        if mean == 0.0:
            return 0
        if mean > _LARGE_VARIANCE:
            return max(0, round(self.normal(index, mean, math.sqrt(mean))))
        uniform = self.uniform(index)
        if uniform <= math.exp(-mean):
            return 0
        return max(0, math.ceil(float(pdtrik(uniform, mean))))

    def binomial(self, index: int, trials: int, probability: float) -> int:
        """Return the number of successes in `trials` with a given probability each.

        Raises: ValueError if trials is negative or the probability is outside 0..1.
        """
        if trials < 0 or not 0.0 <= probability <= 1.0:
            raise ValueError(
                f"trials is {trials} and probability {probability}; allowed: trials >= 0, probability 0..1"
            )
        if trials == 0 or probability == 0.0:
            return 0
        if probability == 1.0:
            return trials
        if probability > 0.5:
            return trials - self._binomial_lower(index, trials, 1.0 - probability)
        return self._binomial_lower(index, trials, probability)

    def _binomial_lower(self, index: int, trials: int, probability: float) -> int:
        variance = trials * probability * (1.0 - probability)
        if variance > _LARGE_VARIANCE:
            count = round(self.normal(index, trials * probability, math.sqrt(variance)))
            return min(trials, max(0, count))
        uniform = self.uniform(index)
        if uniform <= math.exp(trials * math.log1p(-probability)):
            return 0
        return min(trials, max(0, math.ceil(float(bdtrik(uniform, float(trials), probability)))))

    def normals(self, start: int, count: int) -> npt.NDArray[np.float64]:
        """Return the normal deviates of indices start … start+count-1, shape (count,)."""
        return ndtri(self.uniforms(start, count))

    def pattern(self, count: int) -> npt.NDArray[np.int16]:
        """Return normal deviates in 1/PATTERN_SCALE for a fixed pattern (pixels), indices 0 … count-1, shape (count,).

        Four of them come of one word of the generator: quantiles of 16-bit uniforms, so within ± 4.3 standard
        deviations. They are others than `normals` gives: ask one stream for one of the two.
        Raises: ValueError on a negative count.
        """
        if count < 0:
            raise ValueError(f"count is {count}; it must be >= 0")
        words = np.random.Philox(key=self._key, counter=0).random_raw(-(-count // 4))
        return _pattern_quantiles()[words.astype("<u8", copy=False).view("<u2")[:count]]

    def uniforms(self, start: int, count: int) -> npt.NDArray[np.float64]:
        """Return the uniforms of indices start … start+count-1, shape (count,)."""
        if start < 0 or count < 0:
            raise ValueError(f"start is {start} and count {count}; both must be >= 0")
        if count == 0:
            return np.empty(0)
        first, last = start >> 8, (start + count - 1) >> 8
        offset = start - (first << 8)
        return self._raw_uniforms(first, last - first + 1)[offset : offset + count]


@lru_cache(maxsize=1)
def _pattern_quantiles() -> npt.NDArray[np.int16]:
    """Return the normal quantiles of all 16-bit uniforms in 1/PATTERN_SCALE; the two ends are 4.3 deviations out."""
    uniform = (np.arange(1 << 16) + 0.5) / (1 << 16)
    return np.rint(ndtri(uniform) * PATTERN_SCALE).astype(np.int16)


@lru_cache(maxsize=4096)
def stream(seed: int, device: str, channel: str) -> RandomStream:
    """Return the random stream of one channel of one device; equal arguments give equal numbers."""
    return RandomStream(seed, device, channel)


class OrnsteinUhlenbeck:
    """Stationary drift on a fixed grid, a pure function of the grid index.

    x[0] is drawn from the stationary law N(0, sigma²) (or is zero); then
    x[k+1] = x[k] e^(-dt/tau) + sigma sqrt(1 - e^(-2dt/tau)) N[k+1], which is the exact transition.

    Args: standard_deviation of the stationary process (units of the reading); correlation_time_s and step_s
    in s. Raises: ValueError on a non-positive time or a negative standard deviation.
    Source: Gillespie 1996, Phys. Rev. E 54:2084 (exact update).
    """

    def __init__(
        self,
        source: RandomStream,
        standard_deviation: float,
        correlation_time_s: float,
        step_s: float,
        start_at_zero: bool = False,
    ) -> None:
        if standard_deviation < 0.0 or correlation_time_s <= 0.0 or step_s <= 0.0:
            raise ValueError(
                f"standard_deviation {standard_deviation}, correlation_time_s {correlation_time_s}, "
                f"step_s {step_s}: times must be > 0 and the standard deviation >= 0"
            )
        self.step_s = step_s
        self._source = source
        self._sigma = standard_deviation
        self._decay = math.exp(-step_s / correlation_time_s)
        self._kick = standard_deviation * math.sqrt(-math.expm1(-2.0 * step_s / correlation_time_s))
        self._block_ends: list[float] = []
        self._start_at_zero = start_at_zero
        self._cached_block = -1
        self._cached: list[float] = []

    def _compute_block(self, block: int) -> list[float]:
        noise = self._source.normals(block * _BLOCK_SIZE, _BLOCK_SIZE).tolist()
        if block == 0:
            noise[0] = 0.0 if self._start_at_zero else self._sigma * noise[0]
        else:
            noise[0] = self._decay * self._block_ends[block - 1] + self._kick * noise[0]
        return list(accumulate(noise, lambda x, n: self._decay * x + self._kick * n))

    def at_index(self, index: int) -> float:
        """Return the drift at a grid index."""
        if index < 0:
            raise ValueError(f"index is {index}; grid indices count from 0")
        block = index >> 8
        if block != self._cached_block:
            while len(self._block_ends) < block:
                self._block_ends.append(self._compute_block(len(self._block_ends))[-1])
            self._cached = self._compute_block(block)
            self._cached_block = block
        return self._cached[index & 255]

    def at_time(self, time_s: float) -> float:
        """Return the drift of the grid point at or before a time in s (drift is held between points)."""
        return self.at_index(int(time_s / self.step_s + 1e-9))
