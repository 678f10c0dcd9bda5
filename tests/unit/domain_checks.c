/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_checks.h"

#include <string.h>

#include "base/error.h"
#include "model/libvirt_xml.h"

/* What is kept must be fit to be stored, and read back as it was. */
static char *check_stored(const GwVm *vm)
{
    g_autoptr(GwJson) json = gw_record_to_json(&gw_vm_record, vm);
    g_autoptr(GError) error = NULL;
    g_autoptr(GwVm) copy = gw_record_from_stored(&gw_vm_record, json, &error);

    if (copy == NULL)
        return g_strdup_printf("it cannot be read back from the store: %s", error->message);
    if (!gw_record_equal(&gw_vm_record, vm, copy))
        return g_strdup("it is another one when it is read back from the store");
    return NULL;
}

static char *check_refused(const GError *error)
{
    if (error == NULL || error->domain != GW_ERROR || *error->message == '\0')
        return g_strdup("it is refused without a reason");
    return g_utf8_validate(error->message, -1, NULL)
               ? NULL
               : g_strdup("the reason for which it is refused is no UTF-8");
}

char *gw_check_domain(const char *text, GwDomainTally *tally)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwVm) vm = gw_libvirt_vm_from_xml(text, &error);
    char *wrong = NULL;

    tally->domains++;
    if (vm == NULL) {
        tally->unreadable++;
        return check_refused(error);
    }
    tally->partly += vm->error != NULL;
    if ((wrong = check_stored(vm)) == NULL && (wrong = gw_check_verdicts(vm, tally)) == NULL)
        wrong = gw_check_rewriting(text, vm, tally);
    return wrong;
}
