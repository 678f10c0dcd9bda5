/*
 * PID 1 of a lab guest: a program that checks itself. It fills memory with pages it can verify,
 * writes numbered records to its disk, and tells an outside witness a thousand times a second how
 * that goes. What it cannot see (that it runs twice) the witness sees.
 */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_INPUTS 8

struct guest_config config = {
    .fill_percent = 50,
    .verify_mib = 32,
    .interval_us = 1000,
    .disk_interval_ms = 50,
};
struct guest_state state;

uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void sleep_until(uint64_t deadline_ns)
{
    struct timespec at = { .tv_sec = (time_t)(deadline_ns / 1000000000ull),
                           .tv_nsec = (long)(deadline_ns % 1000000000ull) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        continue;
}

uint64_t mix64(uint64_t value)
{
    value = (value ^ (value >> 31)) * 0x7fb5d329728ea185ull;
    value = (value ^ (value >> 27)) * 0x81dadef4bc2dd44dull;
    return value ^ (value >> 33);
}

void say(const char *format, ...)
{
    char line[256];
    va_list arguments;
    uint64_t now = monotonic_ns();
    int used = snprintf(line, sizeof line, "[%llu.%03llu] ", (unsigned long long)(now / 1000000000),
                        (unsigned long long)(now / 1000000 % 1000));

    va_start(arguments, format);
    vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    va_end(arguments);
    strcat(line, "\n");
    if (write(STDOUT_FILENO, line, strlen(line)) < 0)
        return; /* nobody to tell */
}

static void parse_uuid(const char *text, uint8_t uuid[HB_UUID_SIZE])
{
    for (int i = 0; i < HB_UUID_SIZE && *text != '\0'; i++) {
        unsigned byte = 0;
        text += *text == '-';
        if (sscanf(text, "%2x", &byte) != 1)
            return;
        uuid[i] = (uint8_t)byte;
        text += 2;
    }
}

static void parse_word(const char *word)
{
    unsigned dirty = 0, rate = 0;

    sscanf(word, "gw.name=%31s", config.name);
    sscanf(word, "gw.ip=%31s", config.address);
    sscanf(word, "gw.witness=%31s", config.witness);
    sscanf(word, "gw.fill=%u", &config.fill_percent);
    sscanf(word, "gw.set=%u", &config.working_set_mib);
    sscanf(word, "gw.verify=%u", &config.verify_mib);
    sscanf(word, "gw.interval=%u", &config.interval_us);
    sscanf(word, "gw.disk=%u", &config.disk_interval_ms);
    sscanf(word, "gw.spread=%u", &config.spread_mib);
    sscanf(word, "gw.spreadfill=%u", &config.spread_fill_mib);
    sscanf(word, "gw.spreadlearn=%u", &config.spread_learn);
    if (sscanf(word, "gw.spreadrate=%u", &rate) == 1)
        state.spread_rate = rate;
    if (sscanf(word, "gw.dirty=%u", &dirty) == 1)
        state.dirty_kib = dirty * 1024;
    if (strncmp(word, "gw.uuid=", 8) == 0)
        parse_uuid(word + 8, config.uuid);
}

static void read_command_line(void)
{
    char line[2048] = { 0 };
    int handle = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);

    if (handle < 0 || read(handle, line, sizeof line - 1) < 0)
        return;
    close(handle);
    for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n"))
        parse_word(word);
}

/* The initrd names the modules so that this order is the order of their dependencies. */
static void load_modules(void)
{
    struct dirent **entries;
    int count = scandir("/modules", &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        char path[300];
        snprintf(path, sizeof path, "/modules/%s", entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            int handle = open(path, O_RDONLY | O_CLOEXEC);
            if (syscall(SYS_finit_module, handle, "", 0) != 0 && errno != EEXIST)
                say("cannot load %s: %s", path, strerror(errno));
            close(handle);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void choose_boot_id(void)
{
    int handle = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    uint64_t random = 0;
    struct timespec wall;

    if (handle >= 0 && read(handle, &random, sizeof random) < 0)
        random = 0;
    close(handle);
    clock_gettime(CLOCK_REALTIME, &wall); /* entropy is scarce this early, time is not */
    state.boot_id = mix64(random ^ mix64((uint64_t)wall.tv_sec) ^
                          mix64(monotonic_ns() ^ __builtin_ia32_rdtsc()));
}

static void start(void *(*body)(void *), int priority)
{
    pthread_t thread;
    struct sched_param parameter = { .sched_priority = priority };

    if (pthread_create(&thread, NULL, body, NULL) != 0)
        say("cannot start a thread");
    else if (priority > 0 && pthread_setschedparam(thread, SCHED_FIFO, &parameter) != 0)
        say("no real-time priority for the heartbeat");
}

static void on_input(int button)
{
    struct input_event event;

    if (read(button, &event, sizeof event) == sizeof event && event.type == EV_KEY &&
        event.code == KEY_POWER && event.value == 1) {
        say("power button: off");
        state.stopping = true; /* so that no write is in flight when the device goes */
        sleep_until(monotonic_ns() + 200000000ull);
        reboot(RB_POWER_OFF);
    }
}

/* An ordered shutdown ("virsh shutdown") is the power button; which input it is depends on chance.
 */
static void wait_for_power_button(void)
{
    struct pollfd inputs[MAX_INPUTS];
    nfds_t count = 0;

    for (int i = 0; i < MAX_INPUTS; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/input/event%d", i);
        inputs[count] = (struct pollfd){ .fd = open(path, O_RDONLY | O_CLOEXEC), .events = POLLIN };
        count += inputs[count].fd >= 0;
    }
    if (count == 0)
        say("no power button: virsh shutdown will not work");
    for (;;) {
        if (poll(inputs, count, -1) < 0)
            continue;
        for (nfds_t i = 0; i < count; i++)
            if (inputs[i].revents & POLLIN)
                on_input(inputs[i].fd);
    }
}

int main(void)
{
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    read_command_line();
    say("kernel is up");
    load_modules();
    choose_boot_id();
    if (!net_configure())
        say("NETWORK cannot be configured: %s", strerror(errno));
    if (!memory_fill())
        say("MEMORY cannot be filled");
    else
        start(memory_thread, 0);
    if (disk_open())
        start(disk_thread, 0);
    if (spread_open())
        start(spread_thread, 0);
    start(heartbeat_thread, 50);
    start(control_thread, 40);
    say("ready: %s %s boot %016llx", config.name, config.address,
        (unsigned long long)state.boot_id);
    wait_for_power_button();
}
