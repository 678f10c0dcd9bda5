/*
 * witness ADDRESS SOCKET: listens for heartbeats on ADDRESS, and answers on the unix socket SOCKET:
 *   report [SINCE]   findings as JSON (SINCE: seconds since 1970, hides older gaps)
 *   reset [NAME]     forget findings, of one guest or all
 *   forget NAME      forget a guest
 *   stop
 */
#include "witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64

static struct guest *guests[MAX_GUESTS];
static unsigned guest_count;
static uint64_t foreign; /* datagrams that are no heartbeat */

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void free_guest(struct guest *guest)
{
    if (guest == NULL)
        return;
    free(guest->clocks);
    free(guest->histogram);
    free(guest);
}

static struct guest *new_guest(const uint8_t *packet)
{
    struct guest *guest = calloc(1, sizeof *guest);

    if (guest == NULL)
        return NULL;
    guest->clocks = calloc(HISTORY, sizeof guest->clocks[0]);
    guest->histogram = calloc(BUCKETS, sizeof guest->histogram[0]);
    if (guest->clocks == NULL || guest->histogram == NULL) {
        free_guest(guest);
        return NULL;
    }
    memcpy(guest->uuid, packet + HB_OFF_UUID, HB_UUID_SIZE);
    memcpy(guest->name, packet + HB_OFF_NAME, HB_NAME_SIZE);
    return guest;
}

static struct guest *find_guest(const uint8_t *packet)
{
    for (unsigned i = 0; i < guest_count; i++)
        if (memcmp(guests[i]->uuid, packet + HB_OFF_UUID, HB_UUID_SIZE) == 0)
            return guests[i];
    if (guest_count == MAX_GUESTS)
        return NULL;
    struct guest *guest = new_guest(packet);
    if (guest != NULL)
        guests[guest_count++] = guest;
    return guest;
}

static int64_t receive_time(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(c), sizeof at);
            return (int64_t)at.tv_sec * 1000000000ll + at.tv_nsec;
        }
    return wall_ns();
}

static void take_packet(const uint8_t *packet, size_t size, int64_t arrival)
{
    struct guest *guest;

    if (size != HB_SIZE || hb_get(packet + HB_OFF_MAGIC, 4) != HB_MAGIC ||
        hb_get(packet + HB_OFF_VERSION, 2) != HB_VERSION) {
        foreign++;
        return;
    }
    guest = find_guest(packet);
    if (guest != NULL)
        guest_heartbeat(guest, packet, arrival);
}

static void drain(int handle)
{
    static uint8_t packets[BATCH][HB_SIZE + 1];
    static char controls[BATCH][128];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    int got;

    do {
        for (int i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){ packets[i], sizeof packets[i] };
            messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i],
                                                   .msg_iovlen = 1,
                                                   .msg_control = controls[i],
                                                   .msg_controllen = sizeof controls[i] };
        }
        got = recvmmsg(handle, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < got; i++)
            take_packet(packets[i], messages[i].msg_len, receive_time(&messages[i].msg_hdr));
    } while (got == BATCH);
}

static void answer_report(FILE *out, int64_t since)
{
    fprintf(out, "{\"foreign\":%" PRIu64 ",\"now\":%.6f,\"guests\":{", foreign,
            (double)wall_ns() / 1e9);
    for (unsigned i = 0; i < guest_count; i++) {
        fprintf(out, "%s\"", i > 0 ? "," : "");
        for (const char *c = guests[i]->name; *c != '\0'; c++)
            fputc(*c > ' ' && *c < 127 && *c != '"' && *c != '\\' ? *c : '?', out);
        fputs("\":", out);
        guest_report(guests[i], wall_ns(), since, out);
    }
    fputs("}}\n", out);
}

static void reset(const char *name)
{
    for (unsigned i = 0; i < guest_count; i++)
        if (name[0] == '\0' || strcmp(guests[i]->name, name) == 0)
            guest_reset(guests[i]);
}

static void forget(const char *name)
{
    for (unsigned i = 0; i < guest_count;)
        if (strcmp(guests[i]->name, name) == 0) {
            free_guest(guests[i]);
            guests[i] = guests[--guest_count];
        } else {
            i++;
        }
}

/* Answers one client; false: it asked us to stop. */
static bool answer(int listener)
{
    char command[128] = { 0 }, name[HB_NAME_SIZE + 1] = "";
    double since = 0;
    bool go_on = true;
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    struct timeval patience = { .tv_sec = 1 }; /* a silent client must not blind the witness */
    FILE *out = client >= 0 ? fdopen(client, "w") : NULL;

    if (out == NULL)
        return true;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (read(client, command, sizeof command - 1) > 0) {
        if (sscanf(command, "report %lf", &since) == 1 || strcmp(command, "report\n") == 0)
            answer_report(out, (int64_t)(since * 1e9));
        else if (sscanf(command, "reset %32s", name) == 1 || strcmp(command, "reset\n") == 0)
            reset(name);
        else if (sscanf(command, "forget %32s", name) == 1)
            forget(name);
        else if (strcmp(command, "stop\n") == 0)
            go_on = false;
    }
    fclose(out);
    return go_on;
}

static int listen_udp(const char *address)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(HB_PORT) };
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int on = 1, room = 64 << 20;

    if (handle < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1 ||
        bind(handle, (struct sockaddr *)&at, sizeof at) != 0 ||
        setsockopt(handle, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0)
        return -1;
    if (setsockopt(handle, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        setsockopt(handle, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    return handle;
}

static int listen_unix(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int handle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    unlink(path);
    if (handle < 0 || bind(handle, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(handle, 16) != 0)
        return -1;
    return handle;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: witness ADDRESS SOCKET\n");
        return 2;
    }
    struct pollfd watched[] = { { .fd = listen_udp(argv[1]), .events = POLLIN },
                                { .fd = listen_unix(argv[2]), .events = POLLIN } };
    if (watched[0].fd < 0 || watched[1].fd < 0) {
        fprintf(stderr, "witness: cannot listen on %s or %s: %s\n", argv[1], argv[2],
                strerror(errno));
        return 1;
    }
    for (bool go_on = true; go_on;) {
        if (poll(watched, 2, -1) < 0)
            continue;
        if (watched[0].revents & POLLIN)
            drain(watched[0].fd);
        if (watched[1].revents & POLLIN)
            go_on = answer(watched[1].fd);
    }
    unlink(argv[2]);
    return 0;
}
