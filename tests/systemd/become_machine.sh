#!/usr/bin/env bash
# Turns a fresh set of namespaces into a machine that runs systemd, on an overlay of this machine's root, so that nothing
# outside changes. boot.py starts it, as root, in cgroups of its own and below `unshare`.
#
#   become_machine.sh LAYER VENV
#
# LAYER is a tmpfs with folders changed, work and root: what the machine writes stays there. Its folder checkout is seen
# in the machine as /usr/src/vinops, with VENV in it.
set -euo pipefail
layer=$1 venv=$2
root=$layer/root

mount --make-rprivate /
mount -t overlay machine -o "lowerdir=/,upperdir=$layer/changed,workdir=$layer/work" "$root"

# The kernel's own trees. Settings of the kernel are everybody's: not to be written from here.
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"

if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    while IFS=: read -r _ controllers _; do
        case $controllers in
        "") mkdir "$root/sys/fs/cgroup/unified" && mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified" ;;
        name=systemd) mkdir "$root/sys/fs/cgroup/systemd" && mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd" ;;
        memory | pids) mkdir "$root/sys/fs/cgroup/$controllers" && mount -t cgroup -o "$controllers" cgroup "$root/sys/fs/cgroup/$controllers" ;;
        esac
    done </proc/self/cgroup
fi

mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${stream%:*}" "$root/dev/${stream#*:}"; done
: >"$root/dev/console"

mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

mkdir -p "$root/usr/src/vinops"
mount --bind "$layer/checkout" "$root/usr/src/vinops"
mount --bind "$venv" "$root/usr/src/vinops/.venv"
mount -o remount,bind,ro "$root/usr/src/vinops"
mount -o remount,bind,ro "$root/usr/src/vinops/.venv"

# No services of the machine that lends its root: when it boots first this one is new. No disks, no consoles.
etc=$root/etc
if [ "$(cat "$etc/hostname")" != vinops-machine ]; then
    echo vinops-machine >"$etc/hostname"
    : >"$etc/fstab"
    rm -rf "$etc/systemd/system/multi-user.target.wants" "$etc/systemd/system/timers.target.wants" "$etc/systemd/system/sockets.target.wants"
    for unit in console-getty.service getty.target systemd-udevd.service; do ln -sf /dev/null "$etc/systemd/system/$unit"; done
fi
hostname vinops-machine
ip link set lo up

cd "$root"
pivot_root . .
umount -l .
# systemd hands credentials to services through mounts that have to propagate to them; private ones would be empty.
mount --make-rshared /
exec env -i container=vinops-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
    --system --unit=multi-user.target --log-target=journal --show-status=no
