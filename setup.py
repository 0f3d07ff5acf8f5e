"""The packages: kerassl, and the launchers of `recipes/` as kerassl.recipes."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["kerassl", "kerassl.*"]), "kerassl.recipes"],
    package_dir={"kerassl": "kerassl", "kerassl.recipes": "recipes"},
)
