# SPDX-License-Identifier: Apache-2.0
"""Image formation of the microscope: point spread, blurred disks and spheres, motion blur, camera noise.

Pixels (px) in the sample plane unless said otherwise. Source: PHYSICS §11; EMVA 1288; Zhang et al. 2007
(Appl. Opt. 46:1819).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import i0e

from mimedi_sim.models.validation import require_not_negative, require_positive

FloatArray = npt.NDArray[np.float64]


def psf_sigma_px(wavelength_um: float, aperture: float, magnification: float, camera_pixel_um: float) -> float:
    """Return the Gaussian width of the in-focus widefield point spread function in px: 0.21 lambda/NA."""
    require_positive(wavelength_um=wavelength_um, aperture=aperture, magnification=magnification,
                     camera_pixel_um=camera_pixel_um)
    return 0.21 * wavelength_um / aperture * magnification / camera_pixel_um


def defocused_sigma_px(sigma_px: float, defocus_um: float, wavelength_um: float, aperture: float,
                       refractive_index: float = 1.0) -> float:
    """Return the width of the point spread function in px at a distance from focus [calibration]."""
    depth_um = refractive_index * wavelength_um / aperture**2
    return sigma_px * math.hypot(1.0, defocus_um / depth_um)


def blurred_disk(radius_px: float, sigma_px: float, distance_px: npt.ArrayLike) -> FloatArray:
    """Return a unit disk blurred by a Gaussian, at distances from its centre (same shape as distance_px).

    Exact radial convolution by quadrature over the disk; the centre is 1 - exp(-a²/2sigma²).
    """
    return _blurred_rings(radius_px, sigma_px, distance_px, sphere=False)


def blurred_sphere(radius_px: float, sigma_px: float, distance_px: npt.ArrayLike) -> FloatArray:
    """Return the projection sqrt(1 - r²/a²) of a filled sphere blurred by a Gaussian, as blurred_disk."""
    return _blurred_rings(radius_px, sigma_px, distance_px, sphere=True)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights of the quadrature over the rings; finding them takes longer than using them."""
    return np.polynomial.legendre.leggauss(64)


def _blurred_rings(radius_px: float, sigma_px: float, distance_px: npt.ArrayLike, sphere: bool) -> FloatArray:
    require_positive(radius_px=radius_px, sigma_px=sigma_px)
    r = np.asarray(distance_px, dtype=float)
    # Only rings within 8 sigma of r contribute: integrate there for every r.
    nodes, weights = _quadrature()
    low = np.clip(r - 8.0 * sigma_px, 0.0, radius_px)
    high = np.clip(r + 8.0 * sigma_px, 0.0, radius_px)
    half = 0.5 * (high - low)[..., None]
    ring = low[..., None] + half * (nodes + 1.0)
    s2 = sigma_px**2
    kernel = ring / s2 * np.exp(-((ring - r[..., None]) ** 2) / (2.0 * s2)) * i0e(ring * r[..., None] / s2)
    if sphere:
        kernel = kernel * np.sqrt(np.maximum(1.0 - (ring / radius_px) ** 2, 0.0))
    return np.asarray((kernel * weights).sum(axis=-1) * half[..., 0])


def blurred_disk_centre(radius_px: float, sigma_px: float) -> float:
    """Return the centre value of a unit disk blurred by a Gaussian: 1 - exp(-a²/2sigma²)."""
    require_positive(sigma_px=sigma_px)
    return -math.expm1(-(radius_px**2) / (2.0 * sigma_px**2))


def motion_blur_sigma_px(speed_m_s: float, exposure_s: float, pixel_m: float) -> float:
    """Return the standard deviation in px of the box blur of an object that moves during the exposure."""
    require_positive(pixel_m=pixel_m)
    return abs(speed_m_s) * exposure_s / pixel_m / math.sqrt(12.0)


@dataclass(frozen=True)
class CameraNoise:
    """EMVA 1288 camera: quantum efficiency, read noise (e-), gain (DN/e-), offset (DN)."""

    quantum_efficiency: float = 0.7
    read_noise_e: float = 2.0
    gain_dn_e: float = 0.45
    offset_dn: float = 100.0
    quantised: bool = True

    def mean_dn(self, photons: float) -> float:
        """Return the mean grey value for a mean photon number per pixel."""
        require_not_negative(photons=photons)
        return self.gain_dn_e * self.quantum_efficiency * photons + self.offset_dn

    def variance_dn2(self, photons: float) -> float:
        """Return the variance of the grey value in DN²: shot, read and quantisation noise."""
        require_not_negative(photons=photons)
        electrons = self.quantum_efficiency * photons + self.read_noise_e**2
        return self.gain_dn_e**2 * electrons + (1.0 / 12.0 if self.quantised else 0.0)


def localisation_precision_px(
    photons: float, spot_sigma_px: float, background_sd: float, pixel_px: float = 1.0
) -> float:
    """Return the precision in px of a spot's position found by a least-squares Gaussian fit.

    background_sd is the standard deviation of the background in photons per pixel. Thompson's older formula is
    some 20–30 % too good for such a fit. Source: Mortensen et al. 2010, Nat. Methods 7:377, eq. 5.
    """
    require_positive(photons=photons, spot_sigma_px=spot_sigma_px, pixel_px=pixel_px)
    s2 = spot_sigma_px**2 + pixel_px**2 / 12.0
    background = 8.0 * math.pi * s2 * background_sd**2 / (photons * pixel_px**2)
    return math.sqrt(s2 / photons * (16.0 / 9.0 + background))
