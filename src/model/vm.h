/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/cpu.h"
#include "model/prediction.h"

typedef struct {
    char *target; /* vda */
    char *bus;
    char *device;      /* disk, cdrom, floppy, lun */
    char *type;        /* file, block, network, volume, … */
    char *source;      /* path, or protocol:name for a network disk; NULL: no medium */
    char *source_host; /* of a network disk: server[:port], … */
    char *format;
    char *cache; /* libvirt's word; NULL: hypervisor default */
    gboolean readonly;
    gboolean shareable;
    gboolean transient;
    gint64 backing_depth;  /* images below it */
    gint64 capacity_bytes; /* 0: unknown */
    gboolean block_job;    /* a copy, commit, pull or backup is running on it */
    char *block_job_kind;  /* copy, commit, active-commit, pull, backup; NULL: none */
    char *serial;
    char *wwn;
    char *discard;       /* libvirt's word: unmap, ignore */
    char *detect_zeroes; /* off, on, unmap */
    char *io;            /* native, threads, io_uring */
    char *backing_path;  /* the image right below it; NULL: none, or not told */
} GwDisk;
GW_DECLARE_RECORD(GwDisk, gw_disk)

typedef struct {
    char *mac;
    char *type;   /* network, bridge, direct, user, ethernet, hostdev, vdpa, … */
    char *source; /* network or bridge or device name */
    char *model;
    char *target;       /* its device on the host (vnet3); NULL: not running, or none */
    gboolean link_down; /* as if its cable were out */
    gint64 mtu;         /* its own; 0: the network's */
    char **vlans;       /* "42"; several: a trunk. Of a running VM also what its network gives it */
    char *port_group;
    char *virtual_port; /* openvswitch, …; NULL: none */
    char *bridge;       /* of a network adapter that runs: the bridge that libvirt put it on, where
                           it would name that one at the destination too; else NULL */
} GwNic;
GW_DECLARE_RECORD(GwNic, gw_nic)

typedef struct {
    char *type; /* pci, usb, mdev, scsi, … */
    char *address;
} GwHostdev;
GW_DECLARE_RECORD(GwHostdev, gw_hostdev)

/* libvirt's domain states, in its order. */
typedef enum {
    GW_VM_UNKNOWN,
    GW_VM_RUNNING,
    GW_VM_BLOCKED,
    GW_VM_PAUSED,
    GW_VM_SHUTDOWN, /* shutting down */
    GW_VM_OFF,
    GW_VM_CRASHED,
    GW_VM_SUSPENDED, /* by the guest's power management */
} GwVmState;
extern const GwEnum gw_vm_state_enum;

/* One VM as one host holds it. During a move two hosts hold one, told apart by host_id. */
typedef struct {
    char *uuid;
    char *name;
    char *host_id;
    int state;          /* GwVmState */
    char *state_reason; /* libvirt's word: migration, migrated, user, post-copy-failed, … */
    gboolean persistent;
    gboolean autostart;
    gboolean incoming; /* a migration's destination that does not run yet */
    gint64 vcpus;
    gint64 memory_kib;
    gint64 max_memory_kib;
    char *virt_type; /* kvm or qemu */
    char *arch;
    char *machine;
    char *cpu_mode; /* host-passthrough, host-model, custom, maximum; NULL: default */
    char *cpu_model;
    char *cpu_xml;              /* <cpu> of the live XML, for the destination to compare */
    GwCpu *cpu;                 /* the same, read; NULL: none is said */
    GwVmNext *next;             /* what its definition asks for; NULL: it is off, or has none */
    GPtrArray *restart_changes; /* GwRestartChange: what a restart would change; empty: nothing that
                                   is known of. The engine's, from @next and the host's facts */
    gint64 snapshots;
    gboolean job_active; /* a libvirt job (save, dump, migration) runs on it */
    GPtrArray *disks;    /* GwDisk */
    GPtrArray *nics;     /* GwNic */
    GPtrArray *hostdevs; /* GwHostdev */
    char *nvram;         /* path of its UEFI variables; NULL: none */
    char *nvram_format;
    char *tpm;              /* backend of its TPM: emulator, passthrough, external; NULL: none */
    gboolean shared_memory; /* vhost-user, virtiofs: something outside QEMU holds its memory */
    GwVmUsage *usage;       /* NULL: not running, or not seen yet */
    char *error;            /* why the rest is incomplete: an unreadable definition */
    char *job_id;           /* the Godwit job that moves it */
} GwVm;
GW_DECLARE_RECORD(GwVm, gw_vm)

gboolean gw_vm_is_running(const GwVm *vm);
/* Whether a process holds the VM's memory: running, paused, suspended, shutting down. */
gboolean gw_vm_is_active(const GwVm *vm);
gboolean gw_disk_is_writable(const GwDisk *disk);
