/*
 * Makes a QEMU believe that it got every image lock. The lab's hosts share one kernel, so QEMU's
 * image lock holds between them, as it would not between real hosts on most storage; a guest whose
 * emulator is started with this sees what users' guests see.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>

#ifdef fcntl
#undef fcntl
#endif

int fcntl(int handle, int command, ...);
int fcntl64(int handle, int command, ...);

static int pretend(const char *name, int handle, int command, void *argument)
{
    int (*real)(int, int, ...);

    if (command == F_OFD_SETLK || command == F_OFD_SETLKW)
        return 0;
    if (command == F_OFD_GETLK) {
        ((struct flock *)argument)->l_type = F_UNLCK;
        return 0;
    }
    real = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
    return real(handle, command, argument);
}

int fcntl(int handle, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return pretend("fcntl", handle, command, argument);
}

int fcntl64(int handle, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return pretend("fcntl64", handle, command, argument);
}
