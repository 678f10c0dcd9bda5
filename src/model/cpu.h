/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/record.h"

/* CPUs as VMs see them (R11). Names of features and models are libvirt's. Lists of features are
 * sorted, each name once, so that two are compared in one pass. */

#define GW_CPU_FEATURES_MAX 2000 /* of one CPU; libvirt knows about 500 */
#define GW_CPU_MODELS_MAX 1000   /* of one host */
#define GW_CPU_NAME_MAX 128      /* bytes of a model's or feature's name */

/* What the hypervisor of a host can give a VM, of one kind of virtualization. */
typedef struct {
    char *virt_type; /* kvm or qemu */
    char *model;     /* that a host-model CPU gets here now */
    char *xml;       /* that CPU, as a VM would have it */
    char **features; /* all of it, those of the model too; empty: not told */
    char **extra;    /* those of it that are not the model's */
    char **missing;  /* of the model, but not given here */
    char **usable;   /* models that can be had whole */
    char **blocked;  /* "MODEL FEATURE,FEATURE…": others, and what they lack, where told */
} GwHostCpu;
GW_DECLARE_RECORD(GwHostCpu, gw_host_cpu)

/* A CPU by its definition. */
typedef struct {
    char *mode; /* custom, host-model, host-passthrough, maximum; NULL: default */
    char *model;
    gboolean exact; /* this model or none: libvirt may choose no other in its place */
    char *xml;
    char **features; /* required beside those of the model; of an expanded one all */
    char **disabled;
} GwCpu;
GW_DECLARE_RECORD(GwCpu, gw_cpu)

/* What a VM's definition asks for at its next start. */
typedef struct {
    char *machine;
    GwCpu *cpu; /* NULL: none is said */
} GwVmNext;
GW_DECLARE_RECORD(GwVmNext, gw_vm_next)

/* Something of a VM that its next start would change. */
typedef struct {
    char *what; /* machine, cpu-model, cpu-features */
    char *now;
    char *after;
    char *why; /* in words: where it comes from, and what it means for moves */
} GwRestartChange;
GW_DECLARE_RECORD(GwRestartChange, gw_restart_change)

/* What a restart of a VM would change, and what that means for moves (R11). */
typedef struct {
    GPtrArray *changes; /* GwRestartChange */
    char **gains;       /* names of hosts that it cannot go to now, and could then */
    char **loses;       /* and the other way round */
    char **commands;    /* to restart it; a reboot within the guest changes nothing */
} GwRestart;
GW_DECLARE_RECORD(GwRestart, gw_restart)

typedef enum {
    GW_CPU_UNKNOWN, /* not asked (a list of candidates), or it could not be told */
    GW_CPU_COMPATIBLE,
    GW_CPU_INCOMPATIBLE,
} GwCpuVerdict;

/* Whether @host surely can, or surely cannot, run @cpu, by what it tells of its models: UNKNOWN is
 * everything else. @why gets what it lacks (owned), only of INCOMPATIBLE; may be NULL.
 *   can:    the model can be had whole, and every further feature is one the host gives;
 *   cannot: QEMU there says of a feature that is wanted that it is not available (it blocks one of
 *           the models, or is missing from the host's own), or the model cannot be had and the VM
 *           does without nothing of it, or the host does not know a model that has to be exact. */
GwCpuVerdict gw_cpu_judge(const GwHostCpu *host, const GwCpu *cpu, char **why);
/* What is in @a, and not in @b: both sorted. NULL-terminated, owned; never NULL. */
char **gw_cpu_features_without(char *const *a, char *const *b);
gboolean gw_cpu_has(char *const *features, const char *name);
/* Sorts @names and takes doubles out, in place. */
void gw_cpu_features_sort(char **names);
/* "avx2, fma and 3 more". Owned; "" where there is none. */
char *gw_cpu_features_words(char *const *features);
/* Features that never make a difference between two starts: QEMU lets no VM that has them move, so
 * that libvirt gives or leaves them by other rules than the rest. */
gboolean gw_cpu_feature_is_fixed(const char *name);

/* The CPUs of a host, GwHostCpu; NULL: none of that kind is told. */
const GwHostCpu *gw_host_cpu_of(const GPtrArray *cpus, const char *virt_type);
