# SPDX-License-Identifier: MIT
# Sourced by the scripts: makes sure of /usr/bin/python3, which everything else is written in.
if ! [ -x /usr/bin/python3 ]; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "run: installing python3, which the scripts are written in" >&2
    { $sudo apt-get -qq update && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qq -y --no-install-recommends python3; } >/dev/null 2>&1 || {
        echo "run: cannot install python3: run 'apt-get install python3' as root" >&2
        exit 3
    }
fi
