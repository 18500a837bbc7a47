# SPDX-License-Identifier: Apache-2.0
"""From a fresh clone to a running project, with the standard library alone.

`host` tells what the machine is, `provision` brings it up step by step (`steps` keeps the stamps),
`environment` computes the variables that everything runs in, `checks` runs the tests, `cli` is the command.
"""
