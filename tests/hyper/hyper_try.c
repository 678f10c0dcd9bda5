/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "hyper/hyper.h"

/* Drives the libvirt driver by hand: one JSON object a line on stdin is one request, and replies
 * and events come as JSON lines on stdout. It ends with its input. Not installed.
 *
 *   {"id": 1, "op": "connect", "host": "a", "text": "qemu+tls://192.0.2.1/system"}
 *   {"id": 2, "op": "volume-look", "host": "a", "volume": {"pool": "default", "name": "x"}}
 *   {"id": 3, "op": "migrate", "host": "a", "vm": UUID, "migrate": {"peer_to_peer": true, …}} */

#define LINE_MAX_BYTES (1024 * 1024)

static GMutex out_lock;

static void print_line(json_t *json)
{
    g_autofree char *text = gw_json_text(json);

    g_mutex_lock(&out_lock);
    puts(text);
    fflush(stdout);
    g_mutex_unlock(&out_lock);
    json_decref(json);
}

static void put_text(json_t *json, const char *key, const char *text)
{
    if (text != NULL)
        json_object_set_new(json, key, json_string(text));
}

static json_t *records(const GwRecord *record, const GPtrArray *array)
{
    json_t *list = json_array();

    for (guint i = 0; i < array->len; i++)
        json_array_append_new(list, gw_record_to_json(record, array->pdata[i]));
    return list;
}

static json_t *look_json(const GwLook *look)
{
    json_t *json = json_object();

    json_object_set_new(json, "present", json_boolean(look->present));
    json_object_set_new(json, "state", json_string(gw_enum_word(&gw_vm_state_enum, look->state)));
    put_text(json, "reason", look->reason);
    json_object_set_new(json, "persistent", json_boolean(look->persistent));
    json_object_set_new(json, "autostart", json_boolean(look->autostart));
    json_object_set_new(json, "job_active", json_boolean(look->job_active));
    return json;
}

static json_t *error_json(const GError *error)
{
    json_t *json = json_object();

    put_text(json, "code", gw_error_code_word((GwErrorCode)error->code));
    put_text(json, "message", error->message);
    put_text(json, "remedy", gw_error_remedy(error));
    return json;
}

static json_t *texts_json(char **texts)
{
    json_t *list = json_array();

    for (guint i = 0; texts[i] != NULL; i++)
        json_array_append_new(list, json_string(texts[i]));
    return list;
}

static void on_reply(GwReply *reply, gpointer user)
{
    json_t *json = json_object();

    json_object_set_new(json, "reply", json_integer((json_int_t)reply->id));
    json_object_set_new(json, "at_us", json_integer(reply->at_us));
    json_object_set_new(json, "verdict", json_boolean(reply->verdict));
    put_text(json, "text", reply->text);
    if (reply->error != NULL)
        json_object_set_new(json, "error", error_json(reply->error));
    if (reply->facts != NULL)
        json_object_set_new(json, "facts", gw_record_to_json(&gw_host_facts_record, reply->facts));
    if (reply->vms != NULL)
        json_object_set_new(json, "vms", records(&gw_vm_record, reply->vms));
    if (reply->look != NULL)
        json_object_set_new(json, "look", look_json(reply->look));
    if (reply->progress != NULL)
        json_object_set_new(json, "progress",
                            gw_record_to_json(&gw_progress_record, reply->progress));
    if (reply->pool != NULL)
        json_object_set_new(json, "pool", gw_record_to_json(&gw_pool_record, reply->pool));
    if (reply->volumes != NULL)
        json_object_set_new(json, "volumes", records(&gw_volume_record, reply->volumes));
    if (reply->copied != NULL)
        json_object_set_new(json, "copied",
                            gw_record_to_json(&gw_copy_result_record, reply->copied));
    if (reply->result != NULL)
        json_object_set_new(json, "result",
                            gw_record_to_json(&gw_move_result_record, reply->result));
    if (reply->cpu != NULL)
        json_object_set_new(json, "cpu", gw_record_to_json(&gw_cpu_record, reply->cpu));
    if (reply->definitions != NULL)
        json_object_set_new(json, "definitions", texts_json(reply->definitions));
    print_line(json);
    gw_reply_free(reply);
}

static void on_event(GwHyperEvent *event, gpointer user)
{
    static const char *const kinds[] = { "host-lost", "vm-changed", "vm-lifecycle", "facts-changed",
                                         "iteration" };
    json_t *json = json_object();

    put_text(json, "event", kinds[event->kind]);
    put_text(json, "host", event->host_id);
    put_text(json, "vm", event->vm_uuid);
    put_text(json, "text", event->text);
    put_text(json, "text2", event->text2);
    json_object_set_new(json, "number", json_integer(event->number));
    json_object_set_new(json, "at_us", json_integer(event->at_us));
    print_line(json);
    gw_hyper_event_free(event);
}

static char *text_of(json_t *json, const char *key)
{
    return g_strdup(json_string_value(json_object_get(json, key)));
}

static gboolean flag_of(json_t *json, const char *key)
{
    return json_is_true(json_object_get(json, key));
}

static gint64 number_of(json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

/* GwDiskMove, as they are stored. */
static GPtrArray *disks_of(json_t *list)
{
    if (!json_is_array(list))
        return NULL;
    GPtrArray *disks = gw_record_array(&gw_disk_move_record);
    for (size_t i = 0; i < json_array_size(list); i++) {
        GError *error = NULL;
        gpointer disk = gw_record_from_json(&gw_disk_move_record, json_array_get(list, i), &error);
        if (disk == NULL)
            g_error("disks: %s", error->message);
        g_ptr_array_add(disks, disk);
    }
    return disks;
}

static GwVolume *volume_of(json_t *json)
{
    GError *error = NULL;
    GwVolume *volume =
        json_is_object(json) ? gw_record_from_json(&gw_volume_record, json, &error) : NULL;

    if (error != NULL)
        g_error("volume: %s", error->message);
    return volume;
}

static char **texts_of(json_t *list)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (size_t i = 0; i < json_array_size(list); i++)
        g_strv_builder_add(builder, json_string_value(json_array_get(list, i)));
    return json_is_array(list) ? g_strv_builder_end(builder) : NULL;
}

static GwMigrate *migrate_of(json_t *json)
{
    if (!json_is_object(json))
        return NULL;
    GwMigrate *move = g_new0(GwMigrate, 1);
    move->destination_host_id = text_of(json, "destination");
    move->peer_uri = text_of(json, "peer_uri");
    move->migration_uri = text_of(json, "migration_uri");
    move->peer_to_peer = flag_of(json, "peer_to_peer");
    move->paused = flag_of(json, "paused");
    move->persist = flag_of(json, "persist");
    move->unsafe = flag_of(json, "unsafe");
    move->auto_converge = flag_of(json, "auto_converge");
    move->post_copy = flag_of(json, "post_copy");
    move->tls = flag_of(json, "tls");
    move->bandwidth_mibps = number_of(json, "bandwidth_mibps");
    move->max_downtime_ms = number_of(json, "max_downtime_ms");
    move->channels = number_of(json, "channels");
    move->compression = text_of(json, "compression");
    move->disks_uri = text_of(json, "disks_uri");
    move->disks = disks_of(json_object_get(json, "disks"));
    return move;
}

static GwCopy *copy_of(json_t *json)
{
    if (!json_is_object(json))
        return NULL;
    GwCopy *copy = g_new0(GwCopy, 1);
    copy->id = text_of(json, "id");
    copy->from_host_id = text_of(json, "from_host");
    copy->to_host_id = text_of(json, "to_host");
    copy->from = volume_of(json_object_get(json, "from"));
    copy->to = volume_of(json_object_get(json, "to"));
    g_autofree char *how = text_of(json, "how");
    copy->how = gw_enum_value(&gw_disk_how_enum, how != NULL ? how : "network");
    copy->delta = flag_of(json, "delta");
    copy->resume_bytes = number_of(json, "resume_bytes");
    copy->bandwidth_mibps = number_of(json, "bandwidth_mibps");
    return copy;
}

static GwDisk *disk_of(json_t *json)
{
    GError *error = NULL;
    GwDisk *disk = json_is_object(json) ? gw_record_from_json(&gw_disk_record, json, &error) : NULL;

    if (error != NULL)
        g_error("disk: %s", error->message);
    return disk;
}

static GwOp op_of(const char *word)
{
    for (int op = 0; op < GW_OP_COUNT; op++) {
        if (g_strcmp0(gw_op_word((GwOp)op), word) == 0)
            return (GwOp)op;
    }
    return GW_OP_COUNT;
}

static gboolean submit_line(GwHyper *hyper, const char *line, GError **error)
{
    g_autoptr(GwJson) json = gw_json_parse(line, strlen(line), LINE_MAX_BYTES, error);
    if (json == NULL)
        return FALSE;
    GwOp op = op_of(json_string_value(json_object_get(json, "op")));
    if (op == GW_OP_COUNT) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no such op");
        return FALSE;
    }
    g_autofree char *host = text_of(json, "host");
    g_autofree char *vm = text_of(json, "vm");
    GwRequest *request = gw_request_new(op, host, vm);
    request->id = (guint64)number_of(json, "id");
    request->text = text_of(json, "text");
    request->text2 = text_of(json, "text2");
    request->number = number_of(json, "number");
    request->timeout_us = number_of(json, "timeout_us");
    request->migrate = migrate_of(json_object_get(json, "migrate"));
    request->volume = volume_of(json_object_get(json, "volume"));
    request->copy = copy_of(json_object_get(json, "copy"));
    request->disk = disk_of(json_object_get(json, "disk"));
    request->disks = disks_of(json_object_get(json, "disks"));
    request->peer_host_id = text_of(json, "peer");
    request->definitions = texts_of(json_object_get(json, "definitions"));
    gw_hyper_submit(hyper, request);
    return TRUE;
}

int main(void)
{
    g_autoptr(GError) error = NULL;
    GwHyperSink sink = { on_reply, on_event, NULL };
    GwHyper *hyper = gw_libvirt_open(sink, &error);
    char *line = NULL;
    size_t size = 0;
    int status = 0;

    if (hyper == NULL) {
        fprintf(stderr, "hyper-try: %s\n", error->message);
        return 1;
    }
    while (status == 0 && getline(&line, &size, stdin) > 0) {
        if (!submit_line(hyper, line, &error)) {
            fprintf(stderr, "hyper-try: %s\n", error->message);
            status = 2;
        }
    }
    gw_hyper_close(hyper);
    free(line);
    return status;
}
