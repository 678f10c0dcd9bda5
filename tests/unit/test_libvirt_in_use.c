/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "base/error.h"
#include "hyper/libvirt_storage.h"

/* Whether a VM of the host uses an image that another host is to remove, over libvirt's own test
 * driver. */

static const char vm_xml[] =
    "<domain type='test'><name>web1</name><memory>8192</memory>"
    "<os><type>hvm</type></os><devices>"
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
    "<source file='/nas/web1.raw'/><target dev='vda' bus='virtio'/></disk>"
    "<disk type='volume' device='disk'><driver name='qemu' type='raw'/>"
    "<source pool='nas' volume='data.raw'/><target dev='vdb' bus='virtio'/></disk>"
    "</devices></domain>";

/* A host with our VM alone: that of the driver has a disk whose chain would be looked into. */
static virConnectPtr open_host(void)
{
    virConnectPtr ptr = virConnectOpen("test:///default");
    assert_non_null(ptr);
    virDomainPtr own = virDomainLookupByName(ptr, "test");
    assert_int_equal(virDomainDestroy(own), 0);
    assert_int_equal(virDomainUndefine(own), 0);
    virDomainFree(own);
    return ptr;
}

static gboolean prove(virConnectPtr ptr, const char *path, const char *pool, const char *name,
                      GError **error)
{
    g_autoptr(GwRequest) request = gw_request_new(GW_OP_VOLUME_PROVE, "h", NULL);
    GwLvConn conn = { .ptr = ptr };
    GwLvTask task = { .request = request, .conn = &conn };

    if (path != NULL || pool != NULL) {
        request->volume = gw_volume_new();
        request->volume->path = g_strdup(path);
        request->volume->pool = g_strdup(pool);
        request->volume->name = g_strdup(name);
    }
    return gw_lv_op_volume_prove(&task, NULL, error);
}

static void what_a_vm_names_is_used(void **state)
{
    static const struct {
        const char *path, *pool, *name;
        gboolean used;
    } rows[] = {
        { "/nas/web1.raw", NULL, NULL, TRUE },
        { "/nas/web1.raw", "nas", "web1.raw", TRUE },
        { "/srv/nas/data.raw", "nas", "data.raw", TRUE }, /* only by its pool's name */
        { "/nas/web2.raw", "nas", "web2.raw", FALSE },
        { "/srv/nas/data.raw", "other", "data.raw", FALSE },
        { "/nas/web1.raw.old", NULL, NULL, FALSE },
    };
    virConnectPtr ptr = open_host();
    virDomainPtr vm = virDomainDefineXML(ptr, vm_xml);
    assert_non_null(vm);

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        gboolean unused = prove(ptr, rows[i].path, rows[i].pool, rows[i].name, &error);
        if (unused == rows[i].used)
            fail_msg("%s: %s", rows[i].path, unused ? "unused" : error->message);
        if (!unused)
            unit_assert_error(error, GW_ERR_CONFLICT, "is used by VM 'web1'");
    }
    virDomainFree(vm);
    virConnectClose(ptr);
    (void)state;
}

static void nothing_is_no_answer(void **state)
{
    virConnectPtr ptr = open_host();
    g_autoptr(GError) none = NULL;
    g_autoptr(GError) no_path = NULL;

    assert_false(prove(ptr, NULL, NULL, NULL, &none));
    assert_true(g_error_matches(none, GW_ERROR, GW_ERR_INVALID));
    assert_false(prove(ptr, NULL, "nas", "web1.raw", &no_path));
    assert_true(g_error_matches(no_path, GW_ERROR, GW_ERR_INVALID));
    virConnectClose(ptr);
    (void)state;
}

static void quiet(void *unused, virErrorPtr error)
{
    (void)unused;
    (void)error;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_vm_names_is_used),
        cmocka_unit_test(nothing_is_no_answer),
    };
    virSetErrorFunc(NULL, quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
