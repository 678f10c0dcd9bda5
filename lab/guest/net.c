/* The guest's network: its address, its heartbeat, and the lab's commands to it. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"

static struct sockaddr_in address_of(const char *text, uint16_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, text, &at.sin_addr);
    return at;
}

static bool first_device(char name[IFNAMSIZ])
{
    DIR *devices = opendir("/sys/class/net");
    bool found = false;

    if (devices == NULL)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(devices)) != NULL;) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "lo") == 0)
            continue;
        snprintf(name, IFNAMSIZ, "%.15s", entry->d_name);
        found = true;
    }
    closedir(devices);
    return found;
}

static bool set_address(int control, struct ifreq *request, unsigned long what, const char *text)
{
    struct sockaddr_in at = address_of(text, 0);
    memcpy(&request->ifr_addr, &at, sizeof at);
    return ioctl(control, what, request) == 0;
}

bool net_configure(void)
{
    struct ifreq request = { 0 };
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool good;

    if (control < 0 || !first_device(request.ifr_name))
        return false;
    good = set_address(control, &request, SIOCSIFADDR, config.address) &&
           set_address(control, &request, SIOCSIFNETMASK, "255.255.255.0");
    request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_BROADCAST | IFF_MULTICAST;
    good = good && ioctl(control, SIOCSIFFLAGS, &request) == 0;
    close(control);
    return good;
}

static int bound_socket(uint16_t port)
{
    struct sockaddr_in at = address_of("0.0.0.0", port);
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (handle < 0 || bind(handle, (struct sockaddr *)&at, sizeof at) != 0) {
        say("cannot listen on UDP port %u: %s", port, strerror(errno));
        return -1;
    }
    return handle;
}

static void encode(uint8_t packet[HB_SIZE], uint64_t sequence)
{
    hb_put(packet + HB_OFF_SEQUENCE, sequence, 8);
    hb_put(packet + HB_OFF_MONOTONIC, monotonic_ns(), 8);
    hb_put(packet + HB_OFF_MEM_GENERATION, state.mem_generation, 8);
    hb_put(packet + HB_OFF_MEM_ERRORS, state.mem_errors, 8);
    hb_put(packet + HB_OFF_MEM_PASSES, state.mem_passes, 8);
    hb_put(packet + HB_OFF_DISK_SEQUENCE, state.disk_sequence, 8);
    hb_put(packet + HB_OFF_DISK_ERRORS, state.disk_errors, 8);
    hb_put(packet + HB_OFF_DISK_FAILURES, state.disk_failures, 8);
}

void *heartbeat_thread(void *unused)
{
    struct sockaddr_in witness = address_of(config.witness, HB_PORT);
    uint8_t packet[HB_SIZE] = { 0 };
    int handle = bound_socket(HB_PORT);
    uint64_t next = monotonic_ns();

    (void)unused;
    hb_put(packet + HB_OFF_MAGIC, HB_MAGIC, 4);
    hb_put(packet + HB_OFF_VERSION, HB_VERSION, 2);
    memcpy(packet + HB_OFF_UUID, config.uuid, HB_UUID_SIZE);
    memcpy(packet + HB_OFF_NAME, config.name, HB_NAME_SIZE);
    hb_put(packet + HB_OFF_BOOT, state.boot_id, 8);
    for (uint64_t sequence = 1;;) {
        encode(packet, sequence);
        /* A datagram that was never sent takes no number, or the witness would call it lost. */
        if (sendto(handle, packet, sizeof packet, 0, (struct sockaddr *)&witness, sizeof witness) ==
            sizeof packet)
            sequence++;
        next += config.interval_us * 1000ull;
        uint64_t now = monotonic_ns();
        if (next < now)
            next = now;
        else
            sleep_until(next);
    }
    return NULL;
}

static void answer_command(int handle)
{
    char command[64] = { 0 }, reply[320];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    unsigned number = 1;
    ssize_t got = recvfrom(handle, command, sizeof command - 1, 0, (struct sockaddr *)&from, &size);

    if (got <= 0)
        return;
    if (sscanf(command, "lab flip %u", &number) == 1 || strcmp(command, "lab flip") == 0)
        state.plant_flips += number;
    else if (sscanf(command, "lab stale %u", &number) == 1 || strcmp(command, "lab stale") == 0)
        state.plant_stales += number;
    else if (sscanf(command, "lab dirty %u", &number) == 1)
        state.dirty_kib = number * 1024;
    else if (strcmp(command, "lab verify") == 0)
        state.spread_verify++;
    else if (sscanf(command, "lab spread %u", &number) == 1)
        state.spread_rate = number;
    else if (strcmp(command, "lab ping") != 0 && strcmp(command, "lab disks") != 0 &&
             strcmp(command, "lab latency") != 0)
        return;
    if (strcmp(command, "lab disks") == 0 || strcmp(command, "lab verify") == 0)
        spread_status(reply, sizeof reply);
    else if (strcmp(command, "lab latency") == 0)
        spread_latency(reply, sizeof reply);
    else
        snprintf(reply, sizeof reply,
                 "%s boot=%016llx errors=%llu passes=%llu generation=%llu disk=%llu", config.name,
                 (unsigned long long)state.boot_id, (unsigned long long)state.mem_errors,
                 (unsigned long long)state.mem_passes, (unsigned long long)state.mem_generation,
                 (unsigned long long)state.disk_sequence);
    sendto(handle, reply, strlen(reply), 0, (struct sockaddr *)&from, size);
}

static void answer_echo(int handle)
{
    char data[1500];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t got = recvfrom(handle, data, sizeof data, 0, (struct sockaddr *)&from, &size);

    if (got > 0)
        sendto(handle, data, (size_t)got, 0, (struct sockaddr *)&from, size);
}

/* TCP echo, for as many at once as a test has connections; what comes beyond them waits. */
enum { COMMANDS, ECHOES, LISTENER, CLIENTS, CLIENTS_MAX = 4, WATCHED = CLIENTS + CLIENTS_MAX };

static int listening_socket(uint16_t port)
{
    struct sockaddr_in at = address_of("0.0.0.0", port);
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (handle < 0 || bind(handle, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(handle, CLIENTS_MAX) != 0) {
        say("cannot listen on TCP port %u: %s", port, strerror(errno));
        return -1;
    }
    return handle;
}

static void accept_client(struct pollfd watched[WATCHED])
{
    for (int i = CLIENTS; i < WATCHED; i++)
        if (watched[i].fd < 0) {
            watched[i].fd = accept(watched[LISTENER].fd, NULL, NULL);
            return;
        }
}

static void serve_client(struct pollfd *client)
{
    char data[1500];
    ssize_t got = recv(client->fd, data, sizeof data, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && send(client->fd, data, (size_t)got, MSG_NOSIGNAL) == got)
        return;
    close(client->fd);
    client->fd = -1;
}

void *control_thread(void *unused)
{
    struct pollfd watched[WATCHED] = {
        [COMMANDS] = { .fd = bound_socket(HB_CONTROL), .events = POLLIN },
        [ECHOES] = { .fd = bound_socket(HB_ECHO), .events = POLLIN },
        [LISTENER] = { .fd = listening_socket(HB_ECHO), .events = POLLIN },
    };

    (void)unused;
    for (int i = CLIENTS; i < WATCHED; i++)
        watched[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
    for (;;) {
        if (poll(watched, WATCHED, -1) < 0)
            continue;
        if (watched[COMMANDS].revents & POLLIN)
            answer_command(watched[COMMANDS].fd);
        if (watched[ECHOES].revents & POLLIN)
            answer_echo(watched[ECHOES].fd);
        for (int i = CLIENTS; i < WATCHED; i++)
            if (watched[i].fd >= 0 && watched[i].revents != 0)
                serve_client(&watched[i]);
        if (watched[LISTENER].revents & POLLIN)
            accept_client(watched);
    }
    return NULL;
}
