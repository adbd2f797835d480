#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Shows NICs and hands them to DPDK or back to the kernel, by dpdk-devbind.py. It knows which NICs stay with their
kernel driver, and does not take the one that this machine is reached by.

  dinomo-devbind                     all NICs, and what can be done with each
  dinomo-devbind bind 0000:3b:00.0   to vfio-pci; an interface's name will do as well
  dinomo-devbind unbind 0000:3b:00.0 back to the kernel's driver

Exit status: 0; 1 if it refuses or fails; 2 if wrongly used."""
import json
import shutil
import subprocess
import sys

from dinomo_tools import EXIT_OK, Trouble, columns, parser, run
from dinomo_tools.machine import USER_DRIVERS, Machine

PROG = "dinomo-devbind"


def verdict(machine, nic):
    """What can be done with a NIC, in words."""
    if nic.stays:
        return f"ready: DPDK uses it beside {nic.driver or 'its kernel driver'}; never bind it"
    if nic.driver in USER_DRIVERS:
        return "ready for DPDK"
    carried = machine.carries(nic)
    if carried:
        return f"keep: carries this machine's {carried}"
    return "can be bound"


def status(machine, as_json):
    nics = machine.nics()
    if as_json:
        print(json.dumps([{"address": n.address, "id": f"{n.vendor}:{n.device}", "driver": n.driver,
                           "interfaces": n.interfaces, "numa_node": n.numa_node, "carries": machine.carries(n),
                           "stays": n.stays} for n in nics]))
        return EXIT_OK
    if not nics:
        print("no NIC on a PCI bus here: a virtual port works without one (--vdev net_af_packet0,iface=...)")
        return EXIT_OK
    rows = [("NIC", "id", "driver", "interface", "node", "")]
    rows += [(n.address, f"{n.vendor}:{n.device}", n.driver or "-", ",".join(n.interfaces) or "-",
              str(n.numa_node) if n.numa_node >= 0 else "-", verdict(machine, n)) for n in nics]
    print("\n".join(columns(rows)))
    return EXIT_OK


def find(machine, names):
    nics = machine.nics()
    found = []
    for name in names:
        match = [n for n in nics if name in (n.address, n.address.removeprefix("0000:"), *n.interfaces)]
        if not match:
            raise Trouble(f"{name}: no such NIC; `{PROG}` lists those that are there")
        found.append(match[0])
    return found


def devbind(command):
    program = shutil.which(command[0])
    if program is None:
        raise Trouble("dpdk-devbind.py is not installed: apt install dpdk")
    done = subprocess.run([program, *command[1:]], check=False, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")


def refuse(machine, nic, force):
    if nic.stays:
        raise Trouble(f"{nic.address}: stays with {nic.driver or 'its kernel driver'}: DPDK uses it as it is, "
                      f"name it to the EAL by -a {nic.address}")
    carried = machine.carries(nic)
    if carried == "default route":
        raise Trouble(f"{nic.address} ({', '.join(nic.interfaces)}) carries this machine's default route: you would "
                      "lose the machine. Move the route to another NIC first.")
    if carried and not force:
        raise Trouble(f"{nic.address} ({', '.join(nic.interfaces)}) carries routes of this machine: "
                      f"`ip route show dev {nic.interfaces[0]}`. Remove them, or add --force.")


def bind(machine, arguments):
    for nic in find(machine, arguments.nics):
        if nic.driver == arguments.driver:
            print(f"{nic.address}: has {nic.driver} already")
            continue
        refuse(machine, nic, arguments.force)
        if arguments.driver == "vfio-pci" and not nic.iommu_group:
            raise Trouble(f"{nic.address}: vfio-pci needs an IOMMU, and this NIC is in no IOMMU group: switch VT-d or "
                          "AMD-Vi on in the BIOS, and intel_iommu=on iommu=pt on the kernel's command line; in a guest "
                          "without one: -d uio_pci_generic")
        carry_out(arguments, ["dpdk-devbind.py", *(["--force"] if arguments.force else []), "--bind",
                              arguments.driver, nic.address], f"{nic.address}: {arguments.driver}")
    return EXIT_OK


def carry_out(arguments, command, done_text):
    if arguments.dry_run:
        print(" ".join(command))
        return
    devbind(command)
    print(done_text)


def kernel_driver(nic):
    """The driver that the kernel would choose for a NIC, by modprobe."""
    done = subprocess.run(["modprobe", "--resolve-alias", nic.modalias], check=False, capture_output=True, text=True,
                          timeout=60) if nic.modalias and shutil.which("modprobe") else None
    drivers = [d for d in (done.stdout.split() if done else []) if d not in USER_DRIVERS]
    if not drivers:
        raise Trouble(f"{nic.address}: cannot tell the kernel's driver for it; name it by --driver")
    return drivers[0]


def unbind(machine, arguments, driver):
    for nic in find(machine, arguments.nics):
        if nic.driver not in (*USER_DRIVERS, ""):
            print(f"{nic.address}: is the kernel's already ({nic.driver})")
            continue
        chosen = driver or kernel_driver(nic)
        carry_out(arguments, ["dpdk-devbind.py", "--bind", chosen, nic.address], f"{nic.address}: {chosen}")
    return EXIT_OK


def main():
    to = parser(PROG, __doc__)
    to.add_argument("--root", default="/", metavar="DIR", help="where sys/ and proc/ are; for tests")
    to.add_argument("--json", action="store_true", help="JSON instead of a table")
    to.add_argument("-d", "--driver", metavar="NAME",
                    help="bind: vfio-pci (default) or another; unbind: the kernel's, default: what modprobe would load")
    to.add_argument("--force", action="store_true", help="bind although routes lead to it; never the default route")
    to.add_argument("--dry-run", action="store_true", help="print the dpdk-devbind.py command, run nothing")
    to.add_argument("action", nargs="?", choices=("status", "bind", "unbind"), default="status",
                    help="what to do; default: status")
    to.add_argument("nics", nargs="*", metavar="NIC", help="PCI address or interface")
    arguments = to.parse_args()
    if (arguments.action == "status") == bool(arguments.nics):
        to.error("bind and unbind need a NIC, and status takes none")
    machine = Machine(arguments.root)
    if arguments.action == "status":
        return status(machine, arguments.json)
    if arguments.action == "unbind":
        return unbind(machine, arguments, arguments.driver)
    arguments.driver = arguments.driver or "vfio-pci"
    return bind(machine, arguments)


if __name__ == "__main__":
    sys.exit(run(PROG, main))
