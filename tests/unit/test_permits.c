/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/warden_internal.h"
#include "folder.h"
#include "wire/identity.h"

/* The whole warden, with a front that the test plays over the real pair of sockets, and a libvirt
 * that says what the test wants. */

#define US "01J0000000000000000000000D"
#define THEM "01J0000000000000000000000S"
#define THIRD "01J0000000000000000000000T"
#define VM "0b6d3e2c-3f29-4d9f-8a52-1d2a3b4c5d6e"
#define JOB "01J0000000000000000000000A"
#define JOB2 "01J0000000000000000000000B"
#define ALL (GW_STREAM_RPC | GW_STREAM_MIGRATION | GW_STREAM_DISK)
#define PATIENCE_MS 5000

/* libvirt -------------------------------------------------------------------------------------- */

static struct {
    GMutex lock;
    GwHyperSink sink;
    gboolean present, running, autostart, persistent, job;
    const char *reason;
    guint resumes, pauses, autostarts;
} libvirt;

static GwVm *libvirt_vm(void)
{
    GwVm *vm = gw_vm_new();

    vm->uuid = g_strdup(VM);
    vm->name = g_strdup("web1");
    vm->state = libvirt.running ? GW_VM_RUNNING : GW_VM_OFF;
    vm->autostart = libvirt.autostart;
    vm->persistent = TRUE;
    return vm;
}

static void libvirt_answer(const GwRequest *request, GwReply *reply)
{
    switch (request->op) {
    case GW_OP_LOOK:
        reply->look = g_new0(GwLook, 1);
        reply->look->present = libvirt.present;
        reply->look->state = libvirt.running ? GW_VM_RUNNING : GW_VM_PAUSED;
        reply->look->reason = g_strdup(libvirt.reason);
        reply->look->persistent = libvirt.persistent;
        reply->look->job_active = libvirt.job;
        break;
    case GW_OP_RESUME:
        libvirt.resumes++;
        libvirt.running = TRUE;
        break;
    case GW_OP_PAUSE:
        libvirt.pauses++;
        libvirt.running = FALSE;
        break;
    case GW_OP_AUTOSTART:
        libvirt.autostarts++;
        libvirt.autostart = request->number != 0;
        break;
    case GW_OP_LIST_VMS:
    case GW_OP_GET_VM:
        reply->vms = gw_record_array(&gw_vm_record);
        if (libvirt.present)
            g_ptr_array_add(reply->vms, libvirt_vm());
        break;
    case GW_OP_CONNECT:
    case GW_OP_FACTS:
        reply->facts = gw_host_facts_new();
        reply->facts->qemu_version = 7002000;
        break;
    default:
        gw_error_set(&reply->error, GW_ERR_UNSUPPORTED, NULL, "not asked for");
    }
}

static void libvirt_submit(GwHyper *hyper, GwRequest *request)
{
    GwReply *reply = gw_reply_new(request->id);

    g_mutex_lock(&libvirt.lock);
    libvirt_answer(request, reply);
    g_mutex_unlock(&libvirt.lock);
    gw_request_free(request);
    hyper->sink.reply(reply, hyper->sink.user);
}

static void libvirt_close(GwHyper *hyper)
{
    g_free(hyper);
}

static GwHyper *libvirt_open(GwHyperSink sink, GError **error)
{
    static const GwHyperDriver driver = { .name = "test",
                                          .submit = libvirt_submit,
                                          .close = libvirt_close };
    GwHyper *hyper = g_new0(GwHyper, 1);

    hyper->driver = &driver;
    hyper->sink = sink;
    return hyper;
}

static void set_vm(gboolean present, gboolean running, const char *reason)
{
    g_mutex_lock(&libvirt.lock);
    libvirt.present = present;
    libvirt.running = running;
    libvirt.reason = reason;
    g_mutex_unlock(&libvirt.lock);
}

static guint count_of(const guint *counter)
{
    g_mutex_lock(&libvirt.lock);
    guint count = *counter;
    g_mutex_unlock(&libvirt.lock);
    return count;
}

/* The world ------------------------------------------------------------------------------------ */

typedef struct {
    char *folder, *state_folder, *run_folder, *proc_folder, *libvirt_path;
    GwAuthority *authority, *other_authority;
    int libvirt_fd;    /* listening */
    int fd, warden_fd; /* the two ends of the pair */
    GThread *thread;
    gint64 last_id;
    GPtrArray *told;   /* json_t: what the warden said, calls and notices */
    GArray *listeners; /* int: handed over */
    json_t *peer_says; /* what a peer-call answers; NULL: nobody is there */
} World;

static gpointer run_warden(gpointer data)
{
    World *world = data;
    const GwWardenConfig config = { .state_folder = world->state_folder,
                                    .run_folder = world->run_folder,
                                    .libvirt_socket = world->libvirt_path,
                                    .qemu_conf = "/nonexistent",
                                    .emulator_group = "0",
                                    .proc_folder = world->proc_folder };
    return GINT_TO_POINTER(gw_warden_run(&config, world->warden_fd, libvirt_open));
}

static void start(World *world)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    world->fd = pair[0];
    world->warden_fd = pair[1];
    world->thread = g_thread_new("warden", run_warden, world);
}

static void stop(World *world)
{
    close(world->fd);
    assert_int_equal(GPOINTER_TO_INT(g_thread_join(world->thread)), 1);
    g_ptr_array_set_size(world->told, 0);
    for (guint i = 0; i < world->listeners->len; i++)
        close(g_array_index(world->listeners, int, i));
    g_array_set_size(world->listeners, 0);
}

static void put_process(World *world, int pid, const char *line, gsize length)
{
    g_autofree char *dir = g_strdup_printf("%s/%d", world->proc_folder, pid);
    g_autofree char *stat_path = g_build_filename(dir, "stat", NULL);
    g_autofree char *line_path = g_build_filename(dir, "cmdline", NULL);
    g_autofree char *text =
        g_strdup_printf("%d (x) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 5 0 77 1 1", pid);

    g_mkdir_with_parents(dir, 0755);
    assert_true(g_file_set_contents(stat_path, text, -1, NULL));
    assert_true(g_file_set_contents(line_path, line, (gssize)length, NULL));
}

/* This test's own process is the VM's emulator, or is not. */
static void be_vm(World *world, gboolean yes)
{
    static const char line[] = "/usr/bin/qemu-system-x86_64\0-uuid\0" VM;
    static const char other[] = "/usr/bin/test";

    put_process(world, getpid(), yes ? line : other, yes ? sizeof line : sizeof other);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void save_state(World *world)
{
    g_autoptr(GwAgentState) made = g_new0(GwAgentState, 1);
    g_autofree char *request = NULL;

    UNIT_OK(gw_identity_request(&made->key_pem, &request, error));
    made->host_id = g_strdup(US);
    made->fabric_id = g_strdup(gw_authority_fabric_id(world->authority));
    made->ca_pem = g_strdup(gw_authority_ca_pem(world->authority));
    made->certificate_pem = gw_authority_issue(world->authority, request, US, 90,
                                               g_get_real_time() / G_USEC_PER_SEC, NULL, NULL);
    memcpy(made->ticket_public, gw_authority_ticket_public(world->authority), 32);
    UNIT_OK(gw_agent_state_save(world->state_folder, made, error));
}

static GwAuthority *open_authority(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    GwAuthority *authority = gw_authority_open(path, g_get_real_time() / G_USEC_PER_SEC, NULL);
    assert_non_null(authority);
    return authority;
}

static int setup(void **state)
{
    World *world = g_new0(World, 1);

    *state = world;
    memset(&libvirt, 0, sizeof libvirt);
    libvirt.reason = "";
    world->folder = g_dir_make_tmp("gw-warden-XXXXXX", NULL);
    g_chmod(world->folder, 0711); /* as /run: an emulator gets through */
    world->state_folder = g_build_filename(world->folder, "state", NULL);
    world->run_folder = g_build_filename(world->folder, "run", NULL);
    world->proc_folder = g_build_filename(world->folder, "proc", NULL);
    world->libvirt_path = g_build_filename(world->folder, "libvirt-sock", NULL);
    world->authority = open_authority(world->folder, "ca");
    world->other_authority = open_authority(world->folder, "other");
    world->libvirt_fd = listen_at(world->libvirt_path);
    world->told = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    world->listeners = g_array_new(FALSE, FALSE, sizeof(int));
    put_process(world, 1, "init", 5);
    save_state(world);
    start(world);
    return 0;
}

static int teardown(void **state)
{
    World *world = *state;

    stop(world);
    close(world->libvirt_fd);
    folder_remove(world->folder);
    gw_authority_free(world->authority);
    gw_authority_free(world->other_authority);
    g_ptr_array_unref(world->told);
    g_array_unref(world->listeners);
    json_decref(world->peer_says);
    g_free(world->folder);
    g_free(world->state_folder);
    g_free(world->run_folder);
    g_free(world->proc_folder);
    g_free(world->libvirt_path);
    g_free(world);
    return 0;
}

/* The front ------------------------------------------------------------------------------------ */

static void send_json(World *world, json_t *json_stolen)
{
    g_autofree char *text = gw_json_text(json_stolen);

    json_decref(json_stolen);
    assert_int_equal(send(world->fd, text, strlen(text), 0), strlen(text));
}

/* One packet; NULL: none within @ms. */
static json_t *receive(World *world, int ms, int *fd)
{
    static char text[GW_IPC_PACKET_MAX];
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { text, sizeof text };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes };
    struct pollfd wait = { world->fd, POLLIN, 0 };

    *fd = -1;
    if (poll(&wait, 1, ms) != 1)
        return NULL;
    ssize_t got = recvmsg(world->fd, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return NULL;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL)
        memcpy(fd, CMSG_DATA(head), sizeof(int));
    json_t *json = json_loadb(text, (size_t)got, 0, NULL);
    assert_non_null(json);
    return json;
}

/* Answers what the warden asks. */
static void play(World *world, json_t *json_stolen, int fd)
{
    g_autoptr(GwJson) json = json_stolen;
    const char *method = json_string_value(json_object_get(json, "method"));
    json_t *id = json_object_get(json, "id");

    g_ptr_array_add(world->told, json_incref(json));
    if (fd >= 0)
        g_array_append_val(world->listeners, fd);
    if (id == NULL)
        return;
    if (g_strcmp0(method, "peer-call") == 0 && world->peer_says == NULL)
        send_json(world, json_pack("{s:O, s:{s:s, s:s}}", "id", id, "error", "code", "unreachable",
                                   "message", "nobody there"));
    else if (g_strcmp0(method, "peer-call") == 0)
        send_json(world, json_pack("{s:O, s:O}", "id", id, "result", world->peer_says));
    else
        send_json(world, json_pack("{s:O, s:{}}", "id", id, "result"));
}

/* The answer, with "error" or "result". */
static json_t *ask(World *world, const char *method, json_t *params_stolen, int *fd)
{
    gint64 id = ++world->last_id;

    send_json(world, json_pack("{s:I, s:s, s:o}", "id", (json_int_t)id, "method", method, "params",
                               params_stolen));
    for (;;) {
        int got = -1;
        json_t *json = receive(world, PATIENCE_MS, &got);
        if (json == NULL)
            fail_msg("no answer to %s", method);
        if (json_object_get(json, "method") == NULL &&
            json_integer_value(json_object_get(json, "id")) == id) {
            if (fd != NULL)
                *fd = got;
            else
                assert_int_equal(got, -1);
            return json;
        }
        play(world, json, got);
    }
}

static void idle(World *world, int ms)
{
    gint64 until = g_get_monotonic_time() + ms * 1000;

    while (g_get_monotonic_time() < until) {
        int fd = -1;
        json_t *json = receive(world, 10, &fd);
        if (json != NULL)
            play(world, json, fd);
    }
}

static gboolean wait_for(World *world, const guint *counter, guint wanted)
{
    for (int i = 0; i < PATIENCE_MS / 20 && count_of(counter) < wanted; i++)
        idle(world, 20);
    return count_of(counter) >= wanted;
}

static guint times_told(World *world, const char *method)
{
    guint count = 0;

    for (guint i = 0; i < world->told->len; i++)
        count += g_strcmp0(json_string_value(json_object_get(world->told->pdata[i], "method")),
                           method) == 0;
    return count;
}

static const char *code_of(const json_t *answer)
{
    return json_string_value(json_object_get(json_object_get(answer, "error"), "code"));
}

static json_t *controller(World *world, int incarnation, const char *run)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:s}", "role", "controller", "fabric_id",
                     gw_authority_fabric_id(world->authority), "session", 1, "incarnation",
                     incarnation, "run", run);
}

static json_t *host(World *world, const char *host_id)
{
    return json_pack("{s:s, s:s, s:s}", "role", "host", "fabric_id",
                     gw_authority_fabric_id(world->authority), "host_id", host_id);
}

static json_t *come(World *world, int incarnation, const char *run)
{
    json_t *params = controller(world, incarnation, run);
    json_object_set_new(params, "connected", json_true());
    json_object_set_new(params, "wall_us", json_integer(g_get_real_time()));
    return ask(world, "controller", params, NULL);
}

static json_t *call(World *world, const char *method, json_t *params_stolen)
{
    return ask(world, "call",
               json_pack("{s:o, s:s, s:o}", "peer", controller(world, 5, "run"), "method", method,
                         "params", params_stolen),
               NULL);
}

/* Tickets -------------------------------------------------------------------------------------- */

typedef struct {
    GwAuthority *authority; /* NULL: the world's */
    const char *source, *destination, *job, *fabric, *vm_name;
    gint64 epoch, from_s, to_s; /* from now */
    guint kinds, streams_max;
    gboolean commit;
} Terms;

static char *sign(World *world, Terms terms)
{
    GwAuthority *authority = terms.authority != NULL ? terms.authority : world->authority;
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    g_autoptr(GError) error = NULL;
    const GwTicket ticket = {
        .fabric_id = (char *)(terms.fabric ? terms.fabric : gw_authority_fabric_id(authority)),
        .job_id = (char *)(terms.job ? terms.job : JOB),
        .vm_uuid = (char *)VM,
        .vm_name = (char *)(terms.vm_name ? terms.vm_name : "web1"),
        .epoch = terms.epoch ? terms.epoch : 3,
        .source_id = (char *)(terms.source ? terms.source : THEM),
        .destination_id = (char *)(terms.destination ? terms.destination : US),
        .not_before_s = now_s + terms.from_s - 60,
        .expires_s = now_s + (terms.to_s ? terms.to_s : 600),
        .kinds = terms.kinds ? terms.kinds : ALL,
        .streams_max = terms.streams_max ? terms.streams_max : 4,
        .commit_by_resume = terms.commit,
    };
    g_autoptr(GBytes) bytes =
        gw_ticket_sign(&ticket, gw_authority_ticket_secret(authority), &error);
    if (bytes == NULL)
        fail_msg("%s", error->message);
    return g_base64_encode(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static json_t *permit_of(World *world, Terms terms, const char *peer)
{
    g_autofree char *text = sign(world, terms);
    return call(world, "permit",
                json_pack("{s:s, s:{s:s, s:[s]}}", "ticket", text, "peer", "host_id", peer,
                          "addresses", "192.0.2.1:8447"));
}

static void assert_ok(json_t *answer_stolen)
{
    g_autoptr(GwJson) answer = answer_stolen;
    g_autofree char *text = gw_json_text(answer);

    if (json_object_get(answer, "result") == NULL)
        fail_msg("%s", text);
}

static void assert_code(json_t *answer_stolen, const char *code)
{
    g_autoptr(GwJson) answer = answer_stolen;
    g_autofree char *text = gw_json_text(answer);

    if (g_strcmp0(code_of(answer), code) != 0)
        fail_msg("'%s' was wanted: %s", code, text);
}

/* As the front would ask for a stream of host @peer. */
static json_t *open_stream(World *world, Terms terms, const char *peer, const char *kind,
                           int streams, int *fd)
{
    g_autofree char *text = sign(world, terms);
    return ask(world, "open",
               json_pack("{s:o, s:{s:s, s:s}, s:i}", "peer", host(world, peer), "what", "kind",
                         kind, "ticket", text, "streams", streams),
               fd);
}

static char *socket_path(World *world)
{
    return g_strconcat(world->run_folder, "/" JOB ".tunnelmigrate.dest.web1", NULL);
}

/* Permits -------------------------------------------------------------------------------------- */

static void test_destination(void **state)
{
    World *world = *state;

    assert_ok(come(world, 5, "run"));
    assert_ok(permit_of(world, (Terms){ 0 }, THEM));
    assert_ok(permit_of(world, (Terms){ .to_s = 900 }, THEM)); /* renewed */
    assert_int_equal(world->listeners->len, 0);
    assert_true(times_told(world, "credentials") > 0);
    assert_ok(
        call(world, "close", json_pack("{s:s, s:s, s:i}", "job", JOB, "vm_uuid", VM, "epoch", 3)));
    assert_code(permit_of(world, (Terms){ 0 }, THEM), "conflict");
    assert_ok(permit_of(world, (Terms){ .epoch = 4, .job = JOB2 }, THEM));
    assert_code(permit_of(world, (Terms){ .epoch = 3 }, THEM), "conflict");
}

static void test_source(void **state)
{
    World *world = *state;
    const Terms terms = { .source = US, .destination = THEM };
    struct stat st;

    assert_ok(come(world, 5, "run"));
    g_autoptr(GwJson) answer = permit_of(world, terms, THEM);
    const json_t *result = json_object_get(answer, "result");
    g_autofree char *path = socket_path(world);
    g_autofree char *uri = g_strconcat("unix://", path, NULL);
    assert_string_equal(json_string_value(json_object_get(result, "migration_uri")), uri);
    assert_non_null(strstr(json_string_value(json_object_get(result, "peer_uri")), JOB ".rpc"));
    assert_non_null(json_object_get(result, "disks_uri"));
    assert_int_equal(world->listeners->len, 3);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0660);
    /* What leads to the other host's libvirt is libvirt's alone, not any emulator's. */
    g_autofree char *rpc = g_strconcat(world->run_folder, "/" JOB ".rpc", NULL);
    assert_int_equal(lstat(rpc, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(world->run_folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 01771);
    /* Again: the same paths, and no second listener. */
    assert_ok(permit_of(world, terms, THEM));
    assert_int_equal(world->listeners->len, 3);
    assert_ok(
        call(world, "close", json_pack("{s:s, s:s, s:i}", "job", JOB, "vm_uuid", VM, "epoch", 3)));
    idle(world, 50);
    assert_int_equal(times_told(world, "unlisten"), 3);
    assert_int_equal(lstat(path, &st), -1);
}

static void test_hostile_permits(void **state)
{
    World *world = *state;

    assert_ok(come(world, 5, "run"));
    assert_code(permit_of(world, (Terms){ .authority = world->other_authority }, THEM),
                "unauthorized");
    assert_code(permit_of(world,
                          (Terms){ .authority = world->other_authority,
                                   .fabric = gw_authority_fabric_id(world->authority) },
                          THEM),
                "unauthorized");
    assert_code(permit_of(world, (Terms){ .fabric = THIRD }, THEM), "unauthorized");
    assert_code(permit_of(world, (Terms){ .to_s = -5 }, THEM), "unauthorized");
    assert_code(permit_of(world, (Terms){ .from_s = 300 }, THEM), "unauthorized");
    assert_code(permit_of(world, (Terms){ .destination = THIRD }, THEM), "unauthorized");
    assert_code(permit_of(world, (Terms){ 0 }, THIRD), "invalid");
    assert_code(call(world, "permit", json_object()), "unauthorized");
    assert_code(call(world, "permit", json_pack("{s:s}", "ticket", "????")), "invalid");
    assert_code(call(world, "frobnicate", json_object()), "unsupported");
    /* A host may not. */
    assert_code(
        ask(world, "call",
            json_pack("{s:o, s:s, s:{}}", "peer", host(world, THEM), "method", "permit", "params"),
            NULL),
        "forbidden");
    assert_code(ask(world, "nonsense", json_object(), NULL), "invalid");
}

static void test_two_controllers(void **state)
{
    World *world = *state;

    assert_ok(come(world, 5, "run"));
    assert_code(come(world, 5, "another"), "forbidden");
    assert_code(come(world, 4, "older"), "forbidden");
    assert_code(come(world, 0, "none"), "forbidden");
    assert_ok(come(world, 5, "run")); /* reconnected */
    stop(world);
    start(world); /* and it is remembered */
    assert_code(come(world, 5, "another"), "forbidden");
    assert_ok(come(world, 6, "next"));
    /* What the one before still asks is not done. */
    assert_code(permit_of(world, (Terms){ 0 }, THEM), "forbidden");
}

static void test_full_disk(void **state)
{
    World *world = *state;
    int fd = -1;

    assert_ok(come(world, 5, "run"));
    assert_ok(permit_of(world, (Terms){ 0 }, THEM));
    folder_set_full(TRUE);
    g_autoptr(GwJson) answer = permit_of(world, (Terms){ .epoch = 9, .job = JOB2 }, THEM);
    json_t *stream = open_stream(world, (Terms){ 0 }, THEM, "rpc", 0, &fd);
    folder_set_full(FALSE);
    assert_string_equal(code_of(answer), "store");
    assert_ok(stream); /* what was given before goes on */
    close(fd);
    assert_ok(permit_of(world, (Terms){ .epoch = 9, .job = JOB2 }, THEM));
}

/* Streams -------------------------------------------------------------------------------------- */

static void test_streams(void **state)
{
    World *world = *state;
    g_autofree char *path = socket_path(world);
    int fd = -1;
    char byte = 'x';

    assert_ok(come(world, 5, "run"));
    be_vm(world, TRUE);
    assert_code(open_stream(world, (Terms){ 0 }, THEM, "migration", 0, &fd), "conflict");
    assert_ok(permit_of(world, (Terms){ 0 }, THEM));
    assert_code(open_stream(world, (Terms){ 0 }, THEM, "migration", 0, &fd), "operation-failed");
    int qemu = listen_at(path);
    assert_ok(open_stream(world, (Terms){ 0 }, THEM, "migration", 0, &fd));
    int accepted = accept(qemu, NULL, NULL);
    assert_int_equal(write(fd, &byte, 1), 1);
    byte = 0;
    assert_int_equal(read(accepted, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(fd);
    close(accepted);

    g_autoptr(GwJson) rpc = open_stream(world, (Terms){ 0 }, THEM, "rpc", 0, &fd);
    const json_t *result = json_object_get(rpc, "result");
    g_autofree char *uri = g_strconcat("unix://", path, NULL);
    assert_true(fd >= 0);
    close(fd);
    assert_string_equal(json_string_value(json_object_get(result, "vm_uuid")), VM);
    assert_string_equal(json_string_value(json_object_get(result, "vm_name")), "web1");
    assert_string_equal(json_string_value(json_object_get(result, "migration_uri")), uri);

    /* The controller's own. */
    assert_ok(ask(world, "open",
                  json_pack("{s:o, s:{s:s}, s:i}", "peer", controller(world, 5, "run"), "what",
                            "kind", "libvirt", "streams", 0),
                  &fd));
    assert_true(fd >= 0);
    close(fd);
    assert_code(ask(world, "open",
                    json_pack("{s:o, s:{s:s}, s:i}", "peer", controller(world, 5, "other"), "what",
                              "kind", "libvirt", "streams", 0),
                    &fd),
                "forbidden");
    close(qemu);
}

/* Whether who has the other end hears of an end within a second. */
static gboolean is_cut(int fd)
{
    struct pollfd wait = { fd, POLLIN, 0 };
    char byte = 0;

    return poll(&wait, 1, 1000) == 1 && read(fd, &byte, 1) == 0;
}

/* By what was given before a leave is closed nothing begins after; what began goes on. */
static void test_close_cuts(void **state)
{
    World *world = *state;
    g_autofree char *path = socket_path(world);
    const Terms fourth = { .epoch = 4, .job = JOB2 }, fifth = { .epoch = 5 };
    int rpc = -1, migration = -1;

    assert_ok(come(world, 5, "run"));
    be_vm(world, TRUE);
    assert_ok(permit_of(world, (Terms){ 0 }, THEM));
    int qemu = listen_at(path);
    assert_ok(open_stream(world, (Terms){ 0 }, THEM, "rpc", 0, &rpc));
    assert_ok(open_stream(world, (Terms){ 0 }, THEM, "migration", 1, &migration));
    int libvirt_end = accept(world->libvirt_fd, NULL, NULL);
    assert_ok(
        call(world, "close", json_pack("{s:s, s:s, s:i}", "job", JOB, "vm_uuid", VM, "epoch", 3)));
    assert_int_equal(send(rpc, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(send(migration, "x", 1, MSG_NOSIGNAL), 1);
    close(libvirt_end);
    close(rpc);
    close(migration);
    close(qemu);

    be_vm(world, FALSE);
    assert_ok(permit_of(world, fourth, THEM));
    assert_ok(open_stream(world, fourth, THEM, "rpc", 0, &rpc));
    libvirt_end = accept(world->libvirt_fd, NULL, NULL);
    assert_ok(
        call(world, "close", json_pack("{s:s, s:s, s:i}", "job", JOB2, "vm_uuid", VM, "epoch", 4)));
    assert_int_equal(send(rpc, "x", 1, MSG_NOSIGNAL), -1);
    assert_true(is_cut(libvirt_end));
    close(libvirt_end);
    close(rpc);

    /* A later epoch ends those of the one before. */
    assert_ok(permit_of(world, fifth, THEM));
    assert_ok(open_stream(world, fifth, THEM, "rpc", 0, &rpc));
    libvirt_end = accept(world->libvirt_fd, NULL, NULL);
    assert_ok(permit_of(world, (Terms){ .epoch = 6, .job = JOB2 }, THEM));
    assert_true(is_cut(libvirt_end));
    close(libvirt_end);
    close(rpc);
}

/* A front that has been taken over may say that no stream is there; those that are count. */
static void test_streams_are_counted(void **state)
{
    World *world = *state;
    const Terms terms = { .streams_max = 2 };
    int one = -1, two = -1, three = -1;

    assert_ok(come(world, 5, "run"));
    assert_ok(permit_of(world, terms, THEM));
    assert_ok(open_stream(world, terms, THEM, "rpc", 0, &one));
    assert_ok(open_stream(world, terms, THEM, "rpc", 0, &two));
    assert_code(open_stream(world, terms, THEM, "rpc", 0, &three), "conflict");
    assert_int_equal(three, -1);
    shutdown(two, SHUT_RDWR); /* as the front does where one ends */
    close(two);
    assert_ok(open_stream(world, terms, THEM, "rpc", 0, &three));
    close(one);
    close(three);
}

static void test_hostile_opens(void **state)
{
    World *world = *state;
    g_autofree char *path = socket_path(world);
    g_autofree char *aside = g_build_filename(world->folder, "aside", NULL);
    int fd = -1;

    assert_ok(come(world, 5, "run"));
    be_vm(world, TRUE);
    assert_ok(permit_of(world, (Terms){ 0 }, THEM));
    int qemu = listen_at(path);
#define REFUSED(terms, peer, kind, streams, code)                                                  \
    assert_code(open_stream(world, (Terms)terms, peer, kind, streams, &fd), code);                 \
    assert_int_equal(fd, -1)
    REFUSED({ .authority = world->other_authority }, THEM, "migration", 0, "unauthorized");
    REFUSED({ .fabric = THIRD }, THEM, "migration", 0, "unauthorized");
    REFUSED({ 0 }, THIRD, "migration", 0, "unauthorized"); /* who is not its source */
    REFUSED({ .source = THIRD }, THIRD, "migration", 0, "forbidden");
    REFUSED({ .epoch = 2 }, THEM, "migration", 0, "conflict");
    REFUSED({ .epoch = 4 }, THEM, "migration", 0, "conflict");
    REFUSED({ .job = JOB2 }, THEM, "migration", 0, "conflict");
    REFUSED({ 0 }, THEM, "file", 0, "unauthorized");
    REFUSED({ 0 }, THEM, "libvirt", 0, "unauthorized");
    REFUSED({ 0 }, THEM, "nonsense", 0, "invalid");
    REFUSED({ 0 }, THEM, "migration", 4, "conflict"); /* too many */
    REFUSED({ 0 }, THEM, "migration", -1, "invalid");
    /* A name that leads elsewhere. */
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink(aside, path), 0);
    REFUSED({ 0 }, THEM, "migration", 0, "forbidden");
    g_unlink(path);
    assert_true(g_file_set_contents(path, "", 0, NULL));
    REFUSED({ 0 }, THEM, "migration", 0, "forbidden");
    g_unlink(path);
    assert_int_equal(rename(aside, path), 0);
    /* Another VM's emulator, waiting under this one's name. */
    be_vm(world, FALSE);
    REFUSED({ 0 }, THEM, "migration", 0, "forbidden");
    be_vm(world, TRUE);
    assert_ok(open_stream(world, (Terms){ 0 }, THEM, "migration", 3, &fd));
    close(fd);
    /* Replayed after the end. */
    assert_ok(
        call(world, "close", json_pack("{s:s, s:s, s:i}", "job", JOB, "vm_uuid", VM, "epoch", 3)));
    REFUSED({ 0 }, THEM, "migration", 0, "conflict");
    REFUSED({ 0 }, THEM, "rpc", 0, "conflict");
    stop(world);
    start(world);
    REFUSED({ 0 }, THEM, "migration", 0, "conflict");
    close(qemu);
}

static void test_expiry(void **state)
{
    World *world = *state;
    int fd = -1;

    assert_ok(come(world, 5, "run"));
    assert_ok(permit_of(world, (Terms){ .to_s = 2 }, THEM));
    assert_ok(open_stream(world, (Terms){ .to_s = 2 }, THEM, "rpc", 0, &fd));
    close(fd);
    idle(world, 2200);
    assert_code(open_stream(world, (Terms){ 0 }, THEM, "rpc", 0, &fd), "unauthorized");
    /* Renewed, the peer's first ticket will do. */
    g_autofree char *first = sign(world, (Terms){ .to_s = 1 });
    assert_ok(permit_of(world, (Terms){ .to_s = 600 }, THEM));
    idle(world, 1100);
    assert_ok(ask(world, "open",
                  json_pack("{s:o, s:{s:s, s:s}, s:i}", "peer", host(world, THEM), "what", "kind",
                            "rpc", "ticket", first, "streams", 0),
                  &fd));
    close(fd);
}

static void test_restart(void **state)
{
    World *world = *state;
    g_autofree char *path = socket_path(world);
    g_autofree char *stale =
        g_strconcat(world->run_folder, "/01J0000000000000000000000Z.rpc", NULL);
    g_autofree char *foreign = g_strconcat(world->run_folder, "/somebody.sock", NULL);
    struct stat st;

    assert_ok(come(world, 5, "run"));
    assert_ok(permit_of(world, (Terms){ .source = US, .destination = THEM }, THEM));
    stop(world);
    close(listen_at(stale));
    close(listen_at(foreign));
    start(world);
    assert_ok(come(world, 5, "run"));
    idle(world, 100);
    assert_int_equal(world->listeners->len, 3); /* taken up again */
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(lstat(stale, &st), -1);
    assert_int_equal(lstat(foreign, &st), 0);
}

/* The commit ----------------------------------------------------------------------------------- */

static void gone_notice(World *world, const char *peer)
{
    g_autofree char *text = sign(world, (Terms){ .commit = TRUE });
    send_json(world,
              json_pack("{s:s, s:{s:o, s:s, s:{s:s}}}", "method", "notice", "params", "peer",
                        host(world, peer), "method", "source-gone", "params", "ticket", text));
}

static void test_commit_by_notice(void **state)
{
    World *world = *state;

    assert_ok(come(world, 5, "run"));
    be_vm(world, TRUE);
    set_vm(TRUE, FALSE, "user");
    gone_notice(world, THEM); /* without leave */
    idle(world, 200);
    assert_int_equal(count_of(&libvirt.resumes), 0);
    assert_ok(permit_of(world, (Terms){ .commit = TRUE }, THEM));
    gone_notice(world, THIRD); /* of who is not the source */
    idle(world, 300);
    assert_int_equal(count_of(&libvirt.resumes), 0);
    gint64 before = g_get_monotonic_time();
    gone_notice(world, THEM);
    assert_true(wait_for(world, &libvirt.resumes, 1));
    assert_true(g_get_monotonic_time() - before < 1000 * 1000);
    /* A person pauses it: it stays. */
    set_vm(TRUE, FALSE, "user");
    gone_notice(world, THEM);
    idle(world, 1500);
    assert_int_equal(count_of(&libvirt.resumes), 1);
}

static json_t *word(const char *side, int processes, gboolean closed, gboolean moved)
{
    return json_pack("{s:{s:s, s:b, s:b}, s:i, s:b, s:b, s:b}", "seen", "side", side, "job_active",
                     FALSE, "persistent", TRUE, "processes", processes, "closed", closed, "ran",
                     FALSE, "moved", moved);
}

static void test_commit_without_the_notice(void **state)
{
    World *world = *state;

    assert_ok(come(world, 5, "run"));
    be_vm(world, TRUE);
    set_vm(TRUE, FALSE, "user");
    world->peer_says = word("migrating", 1, FALSE, FALSE);
    assert_ok(permit_of(world, (Terms){ .commit = TRUE }, THEM));
    idle(world, 1500);
    assert_int_equal(count_of(&libvirt.resumes), 0);
    json_decref(world->peer_says);
    world->peer_says = word("off (migrated)", 0, TRUE, TRUE);
    assert_true(wait_for(world, &libvirt.resumes, 1));
}

static void test_source_is_called_back(void **state)
{
    World *world = *state;

    assert_ok(come(world, 5, "run"));
    be_vm(world, TRUE);
    set_vm(TRUE, FALSE, "migration");
    world->peer_says = word("absent", 0, FALSE, FALSE);
    assert_ok(permit_of(world, (Terms){ .source = US, .destination = THEM, .commit = TRUE }, THEM));
    idle(world, 1500);
    assert_int_equal(count_of(&libvirt.resumes), 0); /* not closed there */
    json_decref(world->peer_says);
    world->peer_says = word("absent", 0, TRUE, FALSE);
    gint64 before = g_get_monotonic_time();
    assert_true(wait_for(world, &libvirt.resumes, 1));
    assert_true(g_get_monotonic_time() - before < 5 * G_USEC_PER_SEC);
}

static json_t *attest(World *world, Terms terms, const char *peer)
{
    g_autofree char *text = sign(world, terms);
    return ask(world, "call",
               json_pack("{s:o, s:s, s:{s:s}}", "peer", host(world, peer), "method", "attest",
                         "params", "ticket", text),
               NULL);
}

static void test_attested_absence_closes(void **state)
{
    World *world = *state;
    const Terms terms = { .commit = TRUE };
    int fd = -1;

    assert_ok(come(world, 5, "run"));
    assert_ok(permit_of(world, terms, THEM));
    assert_code(attest(world, terms, THIRD), "forbidden");
    assert_code(attest(world, (Terms){ .authority = world->other_authority }, THEM),
                "unauthorized");
    /* There is a process that libvirt does not know of: not absent. */
    be_vm(world, TRUE);
    g_autoptr(GwJson) lingers = attest(world, terms, THEM);
    assert_true(json_is_false(json_object_get(json_object_get(lingers, "result"), "closed")));
    be_vm(world, FALSE);
    folder_set_full(TRUE);
    g_autoptr(GwJson) full = attest(world, terms, THEM);
    folder_set_full(FALSE);
    assert_string_equal(code_of(full), "store"); /* nothing is said that could be forgotten */
    g_autoptr(GwJson) gone = attest(world, terms, THEM);
    GwWord said = gw_word_from_json(json_object_get(gone, "result"));
    assert_int_equal(said.side, GW_SIDE_ABSENT);
    assert_int_equal(said.processes, 0);
    assert_true(said.closed);
    assert_code(open_stream(world, terms, THEM, "rpc", 0, &fd), "conflict");
    assert_code(permit_of(world, terms, THEM), "conflict");
    /* And though it appears all the same, and the source is gone: it is not resumed. */
    be_vm(world, TRUE);
    set_vm(TRUE, FALSE, "user");
    gone_notice(world, THEM);
    idle(world, 500);
    assert_int_equal(count_of(&libvirt.resumes), 0);
    stop(world);
    start(world);
    gone_notice(world, THEM);
    idle(world, 1500);
    assert_int_equal(count_of(&libvirt.resumes), 0);
    g_autoptr(GwJson) later = attest(world, terms, THEM);
    assert_true(gw_word_from_json(json_object_get(later, "result")).closed);
}

/* The guard ------------------------------------------------------------------------------------ */

static guint count_answers(World *world, guint wanted, guint *refused)
{
    guint count = 0;

    *refused = 0;
    while (count < wanted) {
        int fd = -1;
        json_t *json = receive(world, PATIENCE_MS, &fd);
        assert_non_null(json);
        if (json_object_get(json, "method") != NULL) {
            play(world, json, fd);
            continue;
        }
        count++;
        *refused += g_strcmp0(code_of(json), "conflict") == 0;
        json_decref(json);
    }
    return count;
}

/* One host does not keep the warden reading the process table for it alone. */
static void test_attests_are_bounded(void **state)
{
    World *world = *state;
    guint refused = 0;

    assert_ok(come(world, 5, "run"));
    g_autofree char *text = sign(world, (Terms){ 0 });
    g_mutex_lock(&libvirt.lock); /* the first look waits, and all others behind it */
    for (guint i = 0; i < 100; i++)
        send_json(world,
                  json_pack("{s:I, s:s, s:{s:o, s:s, s:{s:s}}}", "id", (json_int_t)++world->last_id,
                            "method", "call", "params", "peer", host(world, THEM), "method",
                            "attest", "params", "ticket", text));
    g_mutex_unlock(&libvirt.lock);
    count_answers(world, 100, &refused);
    assert_true(refused > 0 && refused <= 100 - 32);
    /* Those that were answered do not count. */
    for (guint i = 0; i < 3; i++)
        assert_ok(ask(world, "call",
                      json_pack("{s:o, s:s, s:{s:s}}", "peer", host(world, THEM), "method",
                                "attest", "params", "ticket", text),
                      NULL));
}

static void test_guard(void **state)
{
    World *world = *state;

    assert_ok(come(world, 5, "run"));
    assert_ok(permit_of(world, (Terms){ .source = US, .destination = THEM }, THEM));
    assert_ok(
        call(world, "close", json_pack("{s:s, s:s, s:i}", "job", JOB, "vm_uuid", VM, "epoch", 3)));
    idle(world, 100); /* absent here: it left */
    stop(world);
    set_vm(TRUE, TRUE, "booted"); /* the host booted, and libvirt started it */
    libvirt.autostart = TRUE;
    start(world);
    assert_true(wait_for(world, &libvirt.autostarts, 1));
    idle(world, 300);
    assert_int_equal(count_of(&libvirt.pauses), 0); /* nobody said that it runs there */
    stop(world);
    world->peer_says = word("running", 1, TRUE, FALSE);
    start(world);
    assert_true(wait_for(world, &libvirt.pauses, 1));
    idle(world, 100);
    assert_true(times_told(world, "controller-notice") > 0);
    /* It is brought back by hand: the other host says that it has none. */
    stop(world);
    json_decref(world->peer_says);
    world->peer_says = word("absent", 0, TRUE, FALSE);
    set_vm(TRUE, TRUE, "booted");
    start(world);
    idle(world, 500);
    stop(world);
    libvirt.autostart = TRUE;
    guint before = count_of(&libvirt.autostarts);
    start(world);
    idle(world, 300);
    assert_int_equal(count_of(&libvirt.autostarts), before);
    assert_int_equal(count_of(&libvirt.pauses), 1);
}

/* Others --------------------------------------------------------------------------------------- */

static void test_facts_and_check(void **state)
{
    World *world = *state;

    assert_ok(come(world, 5, "run"));
    g_autoptr(GwJson) answer = call(world, "facts", json_object());
    g_autoptr(GwAgentFacts) facts =
        gw_record_from_json(&gw_agent_facts_record, json_object_get(answer, "result"), NULL);
    assert_non_null(facts);
    assert_true(facts->resident_bytes > 0);
    assert_non_null(facts->certificate_expires_at);
    g_autoptr(GwJson) check = call(world, "check", json_pack("{s:n, s:n}", "peer", "ticket"));
    json_t *lines = json_object_get(json_object_get(check, "result"), "lines");
    assert_true(json_array_size(lines) >= 8);
    size_t index = 0;
    json_t *each = NULL;
    json_array_foreach (lines, index, each) {
        g_autoptr(GwCheckLine) line = gw_record_from_json(&gw_check_line_record, each, NULL);
        assert_non_null(line);
        assert_non_null(line->observed);
        assert_non_null(line->required);
        assert_true((line->outcome == GW_CHECK_OK) == (line->remedy == NULL));
        if (strcmp(line->name, "migration-socket") == 0 || strcmp(line->name, "emulator") == 0 ||
            strcmp(line->name, "certificate") == 0 || strcmp(line->name, "libvirt-socket") == 0)
            assert_int_equal(line->outcome, GW_CHECK_OK);
    }
    g_autoptr(GwJson) peer =
        call(world, "check", json_pack("{s:{s:s}, s:n}", "peer", "host_id", THEM, "ticket"));
    lines = json_object_get(json_object_get(peer, "result"), "lines");
    each = json_array_get(lines, json_array_size(lines) - 1);
    assert_string_equal(json_string_value(json_object_get(each, "name")), "peer-session");
    assert_string_equal(json_string_value(json_object_get(each, "host_id")), THEM);
    assert_string_equal(json_string_value(json_object_get(each, "outcome")), "ok");
    /* A move's ticket is not for a check. */
    g_autofree char *text = sign(world, (Terms){ .source = US, .destination = THEM });
    assert_code(
        call(world, "check", json_pack("{s:{s:s}, s:s}", "peer", "host_id", THEM, "ticket", text)),
        "invalid");
}

static void test_renewal(void **state)
{
    World *world = *state;
    g_autofree char *foreign_key = NULL;
    g_autofree char *foreign_request = NULL;
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;

    assert_ok(come(world, 5, "run"));
    assert_code(call(world, "install-certificate", json_pack("{s:s}", "certificate", "x")),
                "conflict");
    g_autoptr(GwJson) answer = call(world, "renew", json_object());
    const char *request =
        json_string_value(json_object_get(json_object_get(answer, "result"), "request"));
    assert_non_null(request);
    g_autofree char *good =
        gw_authority_issue(world->authority, request, US, 90, now_s, NULL, NULL);
    g_autofree char *of_another =
        gw_authority_issue(world->authority, request, THEM, 90, now_s, NULL, NULL);
    UNIT_OK(gw_identity_request(&foreign_key, &foreign_request, error));
    g_autofree char *other_key =
        gw_authority_issue(world->authority, foreign_request, US, 90, now_s, NULL, NULL);
    assert_code(call(world, "install-certificate", json_pack("{s:s}", "certificate", of_another)),
                "invalid");
    g_autoptr(GwJson) bad =
        call(world, "install-certificate", json_pack("{s:s}", "certificate", other_key));
    assert_non_null(json_object_get(bad, "error"));
    guint sent = times_told(world, "credentials");
    assert_ok(call(world, "install-certificate", json_pack("{s:s}", "certificate", good)));
    idle(world, 50);
    assert_int_equal(times_told(world, "credentials"), sent + 1);
    g_autoptr(GwAgentState) saved = gw_agent_state_load(world->state_folder, NULL);
    assert_string_equal(saved->certificate_pem, good);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_destination),
        TEST(test_source),
        TEST(test_hostile_permits),
        TEST(test_two_controllers),
        TEST(test_full_disk),
        TEST(test_streams),
        TEST(test_close_cuts),
        TEST(test_streams_are_counted),
        TEST(test_hostile_opens),
        TEST(test_expiry),
        TEST(test_restart),
        TEST(test_commit_by_notice),
        TEST(test_commit_without_the_notice),
        TEST(test_source_is_called_back),
        TEST(test_attested_absence_closes),
        TEST(test_attests_are_bounded),
        TEST(test_guard),
        TEST(test_facts_and_check),
        TEST(test_renewal),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
