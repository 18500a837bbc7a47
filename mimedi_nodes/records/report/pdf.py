# SPDX-License-Identifier: Apache-2.0
"""The report as PDF, from the same HTML."""

from __future__ import annotations

from ..errors import RecordError

PDF_FILE = "report.pdf"
CURE = "sudo apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


def lacking() -> str:
    """Return what the host lacks to set pages, with the command that brings it; empty when nothing."""
    try:
        import weasyprint  # noqa: F401
    except OSError as error:
        return f"PDF: the host lacks Pango ({error}); cure: {CURE}"
    return ""


def render_pdf(html: str) -> bytes:
    """Return a report as PDF; fetches nothing from anywhere.

    Raises:
        RecordError: the host lacks a library that pages are set with; says which command brings it.
    """
    if reason := lacking():
        raise RecordError(reason)
    from weasyprint import HTML, URLFetcher

    fetcher = URLFetcher(allowed_protocols=("data",), allow_redirects=False)
    data: bytes = HTML(string=html, url_fetcher=fetcher).write_pdf(pdf_variant="pdf/a-3u")
    return data
