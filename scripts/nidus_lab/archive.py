# SPDX-License-Identifier: MIT
"""Packages of Debian's own archive, fetched and unpacked into the cache: no root, nothing installed.

apt-get runs with a state of its own. The address of the archive is the one that this machine's sources have.
"""

import glob
import os
import shutil
import subprocess

from nidus_lab import packages
from nidus_lab.common import CACHE, LabError, command, os_release

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def addresses():
    """The addresses of Debian archives in this machine's sources, the likeliest first."""
    out = command(["apt-get", "indextargets", "--format", "$(COMPONENT) $(RELEASE) $(ORIGIN) $(REPO_URI)",
                   "Created-By: Packages"], "read this machine's apt sources")
    release = os_release().get("VERSION_CODENAME", "")
    ranked = {}
    for line in out.splitlines():
        component, suite, origin, uri = line.split(" ", 3)
        if component == "main" and "security" not in suite:
            rank = (suite != release, origin != "Debian")
            ranked[uri] = min(rank, ranked.get(uri, rank))
    if not ranked:
        raise LabError("apt has no Debian archive: add one to /etc/apt/sources.list")
    return sorted(ranked, key=ranked.get)


class PrivateApt:
    """apt-get for one suite, with lists, cache and package status of its own."""

    def __init__(self, suite):
        packages.ensure("private")
        self.suite = suite
        self.dir = os.path.join(CACHE, f"apt-{suite}")
        self.clean()
        for sub in ("lists/partial", "cache/archives/partial", "empty"):
            os.makedirs(os.path.join(self.dir, sub), exist_ok=True)
        open(os.path.join(self.dir, "status"), "w", encoding="ascii").close()
        options = {
            "Dir::State": self.dir, "Dir::State::status": f"{self.dir}/status", "Dir::State::lists": f"{self.dir}/lists",
            "Dir::Cache": f"{self.dir}/cache", "Dir::Etc::sourcelist": f"{self.dir}/sources.list",
            "Dir::Etc::sourceparts": f"{self.dir}/empty", "Dir::Etc::preferences": f"{self.dir}/no-preferences",
            "Dir::Etc::preferencesparts": f"{self.dir}/empty", "APT::Architecture": "amd64",
            "APT::Architectures": "amd64", "APT::Sandbox::User": "", "APT::Default-Release": "",
            "Acquire::Languages": "none", "APT::Get::AllowUnauthenticated": "false",
        }
        self.options = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]

    def run(self, *argv, **options):
        return command([argv[0], *self.options, *argv[1:]], f"fetch from Debian's archive ({self.suite})", **options)

    def update(self):
        """Takes the first of this machine's archives that has the suite."""
        problem = None
        for uri in addresses():
            with open(f"{self.dir}/sources.list", "w", encoding="utf-8") as file:
                file.write(f"deb [signed-by={KEYRING}] {uri} {self.suite} main\n")
            try:
                self.run("apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update")
                return uri
            except LabError as error:
                problem = problem or error
        raise problem

    def dependency(self, package, prefix):
        """The name, starting with prefix, of a package that the named one depends on."""
        for line in self.run("apt-cache", "depends", package).splitlines():
            words = line.split()
            if words[:1] == ["Depends:"] and words[1].startswith(prefix):
                return words[1]
        raise LabError(f"package {package} of {self.suite} depends on no {prefix}*")

    def fetch(self, *names, closure):
        """Downloads the packages, with all that they depend on if closure; returns the files."""
        archives = f"{self.dir}/cache/archives"
        if closure:
            self.run("apt-get", "-q", "-y", "--download-only", "--no-install-recommends", "install", *names)
        else:
            self.run("apt-get", "-q", "download", *names, cwd=archives)
        return sorted(glob.glob(f"{archives}/*.deb"))

    def clean(self):
        """Removes what was downloaded."""
        shutil.rmtree(f"{self.dir}/cache", ignore_errors=True)


def unpack(debs, directory):
    """Unpacks into a new directory; the old one of that name goes."""
    fresh = f"{directory}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    for deb in debs:
        command(["dpkg-deb", "-x", deb, fresh], f"unpack {os.path.basename(deb)}")
    shutil.rmtree(directory, ignore_errors=True)
    os.rename(fresh, directory)


def debootstrap(suite, names, directory):
    """The other way to the packages, for when apt-get has failed: needs root. Nothing is run in the new tree."""
    packages.ensure("debootstrap", "private")
    fresh = f"{directory}.debs"
    command([*packages.as_root(), "debootstrap", "--download-only", "--variant=minbase", f"--keyring={KEYRING}",
             f"--include={','.join(names)}", suite, fresh, addresses()[0]], f"fetch {names[0]} with debootstrap")
    unpack(glob.glob(f"{fresh}/var/cache/apt/archives/*.deb"), directory)
    subprocess.run([*packages.as_root(), "rm", "-rf", fresh], check=False)
