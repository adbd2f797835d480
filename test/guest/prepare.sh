#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Makes what a guest boots: Debian's stock kernel and a small initrd whose root is this machine's, read-only,
# with an overlay in memory. Kept and used again until Debian's kernel package changes.
# usage: prepare.sh FOLDER
# Exit status: 0 FOLDER has kernel, initrd and modules; 77 it cannot be made here, with the reason printed.
set -euo pipefail
folder=${1:?usage: prepare.sh FOLDER}
modules_needed='virtio_pci 9pnet_virtio 9p overlay'

skip() {
    echo "skipped: $*"
    exit 77
}

for program in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio modprobe:kmod rdma:iproute2 \
    mke2fs:e2fsprogs ndctl:ndctl; do
    command -v "${program%%:*}" >/dev/null || skip "no ${program%%:*} (apt install ${program##*:})"
done
ldd "$(command -v busybox)" >/dev/null 2>&1 && skip "busybox is not static (apt install busybox-static)"

package=$(apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image/ {print $2; exit}')
[ -n "$package" ] || skip "apt knows no linux-image-amd64"
mkdir -p "$folder"
cd "$folder"
[ "$(cat complete 2>/dev/null)" != "$package" ] || exit 0
rm -rf complete ./*.deb tree root
apt-get download -q "$package" >download.log 2>&1 || skip "the package $package cannot be fetched: $(tail -n 1 download.log)"
dpkg -x ./*.deb tree
rm -f ./*.deb
release=$(ls tree/lib/modules)
depmod -b tree "$release"
cp "tree/boot/vmlinuz-$release" kernel
echo "$release" >release

mkdir -p root/{bin,dev,proc,sys,lower,upper,new,modules}
cp "$(command -v busybox)" root/bin/busybox
for name in sh mount insmod mkdir chroot; do ln -s busybox "root/bin/$name"; done
for module in $modules_needed; do
    modprobe -C /dev/null -d "$PWD/tree" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' >files
while read -r file; do
    cp "$file" root/modules/
    echo "insmod /modules/$(basename "$file")" >>root/load
done <files
cat >root/init <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
. /load
options=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o $options,cache=loose,ro machine /lower
mount -t tmpfs -o size=60% memory /upper
mkdir /upper/changes /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/changes,workdir=/upper/work all /new
for folder in proc sys dev; do mount --bind /$folder /new/$folder; done
mkdir -p /new/dev/shm /new/dev/pts
mount -t tmpfs shm /new/dev/shm
mount -t devpts pts /new/dev/pts
mount -t tmpfs run /new/run
mkdir -p /new/run/job
mount -t 9p -o $options,cache=none job /new/run/job
exec chroot /new /bin/bash /run/job/start
INIT
chmod +x root/init
(cd root && find . | cpio -o -H newc --quiet | gzip -1) >initrd
echo "$package" >complete
