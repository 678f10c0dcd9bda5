/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vport_world.h"

#include <dlfcn.h>

/* What a host does not say of a virtual HBA (I1, I6): the functions of libvirt that look are
 * stood in for, and fail where a test says so. What cannot be looked at counts as logged in. */

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

typedef enum {
    BROKEN_NOTHING,
    BROKEN_POOL,  /* the lookup of one */
    BROKEN_XML,   /* of a pool */
    BROKEN_WORDS, /* that is no XML */
    BROKEN_ACTIVE,
    BROKEN_PERSISTENT,
    BROKEN_DEVICES, /* their list */
    BROKEN_DEVICE,  /* the XML of each */
    BROKEN_KIND,    /* the host tells no devices at all */
} Broken;

static Broken broken;
static virConnectPtr broken_at; /* NULL: everywhere */
static struct {
    GMutex lock;
    GCond changed;
    gboolean hangs;     /* the end of a pool */
    GPtrArray *replies; /* GwReply */
} hang;
static virConnectPtr logs_in_at; /* as a pool there ends, somebody has made one by hand */

/* libvirt's own last error is set by what cannot be done. */
static gboolean breaks(virConnectPtr ptr, Broken what)
{
    if (broken != what || (broken_at != NULL && broken_at != ptr))
        return FALSE;
    if (what == BROKEN_KIND)
        assert_int_equal(virConnectNumOfNWFilters(ptr), -1); /* it has no such thing either */
    else
        assert_int_equal(REAL(virStoragePoolIsActive)(NULL), -1);
    return TRUE;
}

virStoragePoolPtr virStoragePoolLookupByName(virConnectPtr ptr, const char *name)
{
    return breaks(ptr, BROKEN_POOL) ? NULL : REAL(virStoragePoolLookupByName)(ptr, name);
}

char *virStoragePoolGetXMLDesc(virStoragePoolPtr pool, unsigned int flags)
{
    if (breaks(virStoragePoolGetConnect(pool), BROKEN_WORDS))
        return strdup("<pool type='scsi'");
    return breaks(virStoragePoolGetConnect(pool), BROKEN_XML)
               ? NULL
               : REAL(virStoragePoolGetXMLDesc)(pool, flags);
}

int virStoragePoolIsActive(virStoragePoolPtr pool)
{
    return breaks(virStoragePoolGetConnect(pool), BROKEN_ACTIVE)
               ? -1
               : REAL(virStoragePoolIsActive)(pool);
}

int virStoragePoolIsPersistent(virStoragePoolPtr pool)
{
    return breaks(virStoragePoolGetConnect(pool), BROKEN_PERSISTENT)
               ? -1
               : REAL(virStoragePoolIsPersistent)(pool);
}

int virConnectListAllNodeDevices(virConnectPtr ptr, virNodeDevicePtr **devices, unsigned int flags)
{
    if (flags != 0 && (breaks(ptr, BROKEN_DEVICES) || breaks(ptr, BROKEN_KIND)))
        return -1;
    return REAL(virConnectListAllNodeDevices)(ptr, devices, flags);
}

char *virNodeDeviceGetXMLDesc(virNodeDevicePtr device, unsigned int flags)
{
    return breaks(NULL, BROKEN_DEVICE) ? NULL : REAL(virNodeDeviceGetXMLDesc)(device, flags);
}

int virStoragePoolDestroy(virStoragePoolPtr pool)
{
    virConnectPtr ptr = virStoragePoolGetConnect(pool);

    g_mutex_lock(&hang.lock);
    while (hang.hangs)
        g_cond_wait(&hang.changed, &hang.lock);
    g_mutex_unlock(&hang.lock);
    int result = REAL(virStoragePoolDestroy)(pool);
    if (logs_in_at == ptr)
        vport_log_in(ptr);
    return result;
}

static void set_broken(Broken what, virConnectPtr at)
{
    broken = what;
    broken_at = what == BROKEN_DEVICE ? NULL : at;
}

static gboolean is_active(virConnectPtr ptr)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ptr, "vhba1");
    return pool != NULL && virStoragePoolIsActive(pool) == 1;
}

/* Stop ------------------------------------------------------------------------------------- */

static void what_cannot_be_looked_at_is_not_stopped(void **state)
{
    for (Broken what = BROKEN_POOL; what < BROKEN_KIND; what++) {
        for (int forget = 0; forget < 2; forget++) {
            World world;
            g_autoptr(GError) why = NULL;
            vport_open(&world);
            set_broken(what, world.a);
            assert_false(gw_lv_hba_stop(world.a, world.hba, VM, forget == 1, &why));
            set_broken(BROKEN_NOTHING, NULL);
            unit_assert_error(why, GW_ERR_BUSY, "cannot be told");
            /* Whatever was done by then, the next try ends it. */
            UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, forget == 1, error));
            assert_int_equal(vport_logins(world.a), 0);
            assert_false(is_active(world.a));
            g_autoptr(GwVirtualHba) left = gw_lv_hba_look(world.a, "vhba1", NULL);
            assert_int_equal(left == NULL, forget);
            vport_close(&world);
        }
    }
}

static void nothing_is_there_only_where_that_is_seen(void **state)
{
    static const Broken breaks_it[] = { BROKEN_POOL, BROKEN_DEVICES, BROKEN_DEVICE };
    World world;
    vport_open(&world);

    for (guint i = 0; i < G_N_ELEMENTS(breaks_it); i++) {
        g_autoptr(GError) why = NULL;
        set_broken(breaks_it[i], world.b);
        assert_false(gw_lv_hba_stop(world.b, world.hba, VM, TRUE, &why));
        set_broken(BROKEN_NOTHING, NULL);
        unit_assert_error(why, GW_ERR_BUSY, "cannot be told");
    }
    UNIT_OK(gw_lv_hba_stop(world.b, world.hba, VM, TRUE, error));
    vport_close(&world);
}

static void a_host_that_tells_no_devices_is_taken_by_its_pools(void **state)
{
    World world;
    vport_open(&world);

    set_broken(BROKEN_KIND, NULL);
    UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, error));
    UNIT_OK(gw_lv_hba_start(world.b, world.a, world.hba, error));
    set_broken(BROKEN_NOTHING, NULL);
    assert_int_equal(vport_logins(world.a), 0);
    assert_int_equal(vport_logins(world.b), 1);
    vport_close(&world);
}

/* libvirt leaves what somebody had made by hand as the pool ends. */
static void what_was_made_by_hand_logs_out_with_its_pool(void **state)
{
    World world;
    vport_open(&world);

    logs_in_at = world.a;
    UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, TRUE, error));
    logs_in_at = NULL;
    assert_int_equal(vport_logins(world.a), 0);
    assert_null(gw_lv_hba_look(world.a, "vhba1", NULL));
    vport_close(&world);
}

/* While its pool is not active nobody can tell which VMs use it. */
static void a_login_beside_its_pool_stays(void **state)
{
    World world;
    g_autoptr(GError) why = NULL;
    vport_open(&world);

    UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, error));
    vport_log_in(world.a);
    assert_false(gw_lv_hba_stop(world.a, world.hba, VM, TRUE, &why));
    unit_assert_error(why, GW_ERR_BUSY, "is logged in");
    assert_int_equal(vport_logins(world.a), 1);
    G_GNUC_UNUSED g_autoptr(GwVirtualHba) kept = gw_lv_hba_look(world.a, "vhba1", NULL);
    assert_non_null(kept); /* so that the next try knows that it is ours */
    vport_close(&world);
}

/* Start ------------------------------------------------------------------------------------ */

/* @defined: its definition came to b before, as after a start that was broken off. */
static void open_started(World *world, gboolean defined)
{
    vport_open(world);
    UNIT_OK(gw_lv_hba_stop(world->a, world->hba, VM, FALSE, error));
    if (!defined)
        return;
    g_autoptr(virStoragePool) pool = virStoragePoolDefineXML(world->b, POOL("scsi_host2", ""), 0);
    assert_non_null(pool);
}

static void nor_does_it_start_where_the_source_does_not_say(void **state)
{
    for (Broken what = BROKEN_POOL; what < BROKEN_KIND; what++) {
        for (int defined = 0; defined < 2; defined++) {
            World world;
            g_autoptr(GError) why = NULL;
            if (what == BROKEN_PERSISTENT)
                continue; /* the source is not asked that */
            open_started(&world, defined == 1);
            set_broken(what, world.a);
            assert_false(gw_lv_hba_start(world.b, world.a, world.hba, &why));
            set_broken(BROKEN_NOTHING, NULL);
            unit_assert_error(why, GW_ERR_BUSY, "cannot be told");
            assert_non_null(strstr(why->message, "the other host"));
            assert_false(is_active(world.b));
            UNIT_OK(gw_lv_hba_start(world.b, world.a, world.hba, error));
            assert_true(is_active(world.b));
            vport_close(&world);
        }
    }
}

static void nor_while_the_source_is_logged_in(void **state)
{
    for (int defined = 0; defined < 2; defined++) {
        World world;
        g_autoptr(GError) by_hand = NULL, by_pool = NULL;
        open_started(&world, defined == 1);
        vport_log_in(world.a);
        assert_false(gw_lv_hba_start(world.b, world.a, world.hba, &by_hand));
        unit_assert_error(by_hand, GW_ERR_CONFLICT, "is logged in at the other host");
        assert_false(is_active(world.b));
        g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(world.a, "vhba1");
        assert_int_equal(virStoragePoolCreate(pool, 0), 0);
        assert_false(gw_lv_hba_start(world.b, world.a, world.hba, &by_pool));
        unit_assert_error(by_pool, GW_ERR_CONFLICT, "is logged in at the other host");
        assert_false(is_active(world.b));
        vport_close(&world);
    }
}

/* It is there already: the source may have gone since. */
static void one_that_is_started_asks_nobody(void **state)
{
    World world;
    open_started(&world, FALSE);

    UNIT_OK(gw_lv_hba_start(world.b, world.a, world.hba, error));
    set_broken(BROKEN_POOL, world.a);
    UNIT_OK(gw_lv_hba_start(world.b, world.a, world.hba, error));
    set_broken(BROKEN_NOTHING, NULL);
    assert_int_equal(vport_logins(world.b), 1);
    vport_close(&world);
}

/* One whose definition cannot be read is not taken for another's. */
static void nor_where_this_host_does_not_say(void **state)
{
    static const Broken breaks_it[] = { BROKEN_POOL, BROKEN_XML, BROKEN_WORDS, BROKEN_ACTIVE };

    for (guint i = 0; i < G_N_ELEMENTS(breaks_it); i++) {
        World world;
        g_autoptr(GError) why = NULL;
        open_started(&world, TRUE);
        set_broken(breaks_it[i], world.b);
        assert_false(gw_lv_hba_start(world.b, world.a, world.hba, &why));
        set_broken(BROKEN_NOTHING, NULL);
        unit_assert_error(why, GW_ERR_BUSY, "cannot be told");
        assert_false(is_active(world.b));
        vport_close(&world);
    }
}

static void what_it_is_is_read_whole_or_not(void **state)
{
    static const Broken breaks_it[] = { BROKEN_XML, BROKEN_WORDS, BROKEN_ACTIVE };
    World world;
    vport_open(&world);

    for (guint i = 0; i < G_N_ELEMENTS(breaks_it); i++) {
        g_autoptr(GError) why = NULL;
        set_broken(breaks_it[i], world.a);
        assert_null(gw_lv_hba_look(world.a, "vhba1", &why));
        set_broken(BROKEN_NOTHING, NULL);
        assert_non_null(why);
    }
    vport_close(&world);
}

/* In turn ---------------------------------------------------------------------------------- */

static void replied(GwReply *reply, gpointer user)
{
    g_mutex_lock(&hang.lock);
    g_ptr_array_add(hang.replies, reply);
    g_cond_broadcast(&hang.changed);
    g_mutex_unlock(&hang.lock);
}

static void heard(GwHyperEvent *event, gpointer user)
{
    gw_hyper_event_free(event);
}

/* The reply to question @id, when it has come; the driver's until the end. */
static const GwReply *reply_to(guint64 id)
{
    const GwReply *found = NULL;

    g_mutex_lock(&hang.lock);
    while (found == NULL) {
        for (guint i = 0; i < hang.replies->len; i++) {
            const GwReply *reply = hang.replies->pdata[i];
            found = reply->id == id ? reply : found;
        }
        if (found == NULL)
            g_cond_wait(&hang.changed, &hang.lock);
    }
    g_mutex_unlock(&hang.lock);
    return found;
}

static void set_hanging(gboolean hangs)
{
    g_mutex_lock(&hang.lock);
    hang.hangs = hangs;
    g_cond_broadcast(&hang.changed);
    g_mutex_unlock(&hang.lock);
}

static void ask(GwHyper *hyper, guint64 id, GwOp op, const GwHbaMove *hba, gint64 timeout_us)
{
    GwRequest *request = gw_request_new(op, "a", VM);

    request->id = id;
    request->hba = gw_hba_move_copy(hba);
    request->timeout_us = timeout_us;
    gw_hyper_submit(hyper, request);
}

/* Host "a", as CONNECT leaves it; nothing in the driver connects to a test driver. */
static GwLvHost *add_host(GwHyper *hyper, virConnectPtr ptr)
{
    GwLvDriver *driver = (GwLvDriver *)hyper;

    ask(hyper, 1, GW_OP_HBA_STOP, NULL, 0);
    assert_non_null(reply_to(1)->error); /* not connected */
    g_mutex_lock(&driver->lock);
    GwLvHost *host = gw_lv_host(driver, "a");
    g_mutex_unlock(&driver->lock);
    GwLvTask task = { .driver = driver, .host = host };
    assert_int_equal(virConnectRef(ptr), 0);
    GwLvConn *conn = gw_lv_conn_new(&task, ptr);
    g_mutex_lock(&driver->lock);
    host->lines[0].conn = conn;
    host->lines[GW_LV_STORAGE_LINE].conn = gw_lv_conn_ref(conn);
    g_mutex_unlock(&driver->lock);
    return host;
}

static guint waiting(GwHyper *hyper, const GwLvHost *host)
{
    GwLvDriver *driver = (GwLvDriver *)hyper;

    g_mutex_lock(&driver->lock);
    guint count = host->waiting.length;
    g_mutex_unlock(&driver->lock);
    return count;
}

/* A stop hangs past its time; what undoes it comes after it, however late that is, and what was
 * given up by then is not done at all. */
static void a_start_comes_after_the_stop_that_hangs(void **state)
{
    World world;
    const GwHyperSink sink = { replied, heard, NULL };
    vport_open(&world);
    hang.replies = g_ptr_array_new_with_free_func((GDestroyNotify)gw_reply_free);
    GwHyper *hyper = gw_libvirt_open(sink, NULL);
    const GwLvHost *host = add_host(hyper, world.a);

    set_hanging(TRUE);
    ask(hyper, 2, GW_OP_HBA_STOP, world.hba, 1);
    unit_assert_error(reply_to(2)->error, GW_ERR_TIMEOUT, "did not answer in time");
    ask(hyper, 3, GW_OP_HBA_STOP, world.hba, 1);
    unit_assert_error(reply_to(3)->error, GW_ERR_TIMEOUT, "not begun in time");
    ask(hyper, 4, GW_OP_HBA_START, world.hba, G_TIME_SPAN_HOUR);
    assert_int_equal(waiting(hyper, host), 1);
    set_hanging(FALSE);
    assert_null(reply_to(4)->error);
    assert_true(is_active(world.a));
    gw_hyper_close(hyper);
    g_ptr_array_unref(hang.replies);
    vport_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_looked_at_is_not_stopped),
        cmocka_unit_test(nothing_is_there_only_where_that_is_seen),
        cmocka_unit_test(a_host_that_tells_no_devices_is_taken_by_its_pools),
        cmocka_unit_test(what_was_made_by_hand_logs_out_with_its_pool),
        cmocka_unit_test(a_login_beside_its_pool_stays),
        cmocka_unit_test(nor_does_it_start_where_the_source_does_not_say),
        cmocka_unit_test(nor_while_the_source_is_logged_in),
        cmocka_unit_test(one_that_is_started_asks_nobody),
        cmocka_unit_test(nor_where_this_host_does_not_say),
        cmocka_unit_test(a_start_comes_after_the_stop_that_hangs),
        cmocka_unit_test(what_it_is_is_read_whole_or_not),
    };

    virSetErrorFunc(NULL, vport_silent);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
