/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/cpu.h"

/* Which CPU would let every VM of some hosts move between all of them, and what it would cost. */

#define GW_CPU_BASELINE_HOSTS_MAX 100

typedef struct {
    char **hosts;    /* ids or names of hosts and host groups; empty: all hosts */
    char *virt_type; /* kvm or qemu; NULL: what most of their VMs run with */
} GwCpuBaselineRequest;
GW_DECLARE_RECORD(GwCpuBaselineRequest, gw_cpu_baseline_request)

typedef struct {
    char *host_id;
    char *host_name;
    char *model;  /* what host-model gets there now */
    char **loses; /* features of that CPU which the baseline does not have */
    char *error;  /* why it is not counted in: no facts, no CPU told */
} GwCpuBaselineHost;
GW_DECLARE_RECORD(GwCpuBaselineHost, gw_cpu_baseline_host)

typedef enum {
    GW_CPU_FIT_FITS,    /* it has nothing that the baseline has not */
    GW_CPU_FIT_RESTART, /* its definition fits: a restart is enough */
    GW_CPU_FIT_CHANGE,  /* its definition has to be changed, and it restarted */
    GW_CPU_FIT_UNKNOWN,
} GwCpuFit;
extern const GwEnum gw_cpu_fit_enum;

typedef struct {
    char *vm_uuid;
    char *vm_name;
    char *host_id;
    char *cpu;    /* what it has now, in a word */
    int fit;      /* GwCpuFit */
    char **above; /* features beyond the baseline */
    char *why;
    char **commands; /* to make it fit */
} GwCpuBaselineVm;
GW_DECLARE_RECORD(GwCpuBaselineVm, gw_cpu_baseline_vm)

/* Whether a VM with the host-model CPU of one host can run on another. */
typedef struct {
    char *source_host_id;
    char *destination_host_id;
    gboolean unknown; /* it could not be told */
    char *why;
} GwCpuPair;
GW_DECLARE_RECORD(GwCpuPair, gw_cpu_pair)

typedef struct {
    char *virt_type;
    char *kind;          /* hypervisor: of what QEMU can give VMs; host: of the hosts' own CPUs */
    char *asked_host_id; /* which host's libvirt worked it out */
    char *model;
    char *xml;       /* <cpu> for a VM's definition; NULL: there is none, see error */
    char **features; /* all it has */
    char *error;
    char **machines;  /* the newest machine type of each family that all of the hosts know */
    GPtrArray *hosts; /* GwCpuBaselineHost */
    GPtrArray *vms;   /* GwCpuBaselineVm: those that run */
    GPtrArray *pairs; /* GwCpuPair: only those that cannot, or of which it is not known */
} GwCpuBaseline;
GW_DECLARE_RECORD(GwCpuBaseline, gw_cpu_baseline)
