# SPDX-License-Identifier: Apache-2.0
"""Names and namespaces of nodes."""

UNSPECIFIED_NODE_NAME = '<node_name_unspecified>'
UNSPECIFIED_NAMESPACE = '/<node_namespace_unspecified>'


def join_namespaces(base: str, relative: str) -> str:
    """Return `relative` inside `base`; an absolute `relative` stands alone."""
    if relative.startswith('/') or not base:
        return relative
    if not relative:
        return base
    return f'{base.rstrip("/")}/{relative}'


def make_absolute(namespace: str) -> str:
    """Return the namespace with a leading and without a trailing slash."""
    return '/' + namespace.strip('/')


def full_name(namespace: str, name: str) -> str:
    """Return the fully qualified name of a node."""
    return f'{namespace.rstrip("/")}/{name}'
