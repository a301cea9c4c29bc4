/* What other file systems answer, as a library to be preloaded. FS_FAULTS holds faults, separated by `;`, each
   CALL KIND PART ERRNO: the call fails with this number on files (`f`), directories (`d`) or either (`*`) whose path
   contains the part. Two are not calls: `inode` gives a file another inode number at each look, and `tmpfile` is an open
   of a file without a name in a directory. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fault(const char *call, const char *path, int is_directory)
{
	const char *faults = getenv("FS_FAULTS");
	char copy[1024], *state = NULL;
	snprintf(copy, sizeof copy, "%s", faults ? faults : "");
	for (char *one = strtok_r(copy, ";", &state); one; one = strtok_r(NULL, ";", &state)) {
		char name[32], kind, part[256];
		int number;
		if (sscanf(one, " %31s %c %255s %d", name, &kind, part, &number) != 4)
			abort();
		if (!strcmp(name, call) && strstr(path, part) && (kind == '*' || (kind == 'd') == is_directory))
			return number;
	}
	return 0;
}

static int fault_of_open(const char *call, int fd)
{
	char link[64], path[PATH_MAX];
	struct stat found;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof path - 1);
	if (length < 0 || fstat(fd, &found) < 0)
		return 0;
	path[length] = 0;
	return fault(call, path, S_ISDIR(found.st_mode));
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(call, fd) \
	do { \
		int number = fault_of_open(call, fd); \
		if (number) { \
			errno = number; \
			return -1; \
		} \
	} while (0)

int open64(const char *path, int flags, ...)
{
	va_list more;
	int is_unnamed = (flags & O_TMPFILE) == O_TMPFILE;
	int number = is_unnamed ? fault("tmpfile", path, 1) : 0;
	if (number) {
		errno = number;
		return -1;
	}
	va_start(more, flags);
	mode_t mode = flags & O_CREAT || is_unnamed ? va_arg(more, mode_t) : 0;
	va_end(more);
	return REAL(open64)(path, flags, mode);
}

int fsync(int fd)
{
	FAIL_IF("fsync", fd);
	return REAL(fsync)(fd);
}

int flock(int fd, int operation)
{
	int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
	FAIL_IF("flock", fd);
	return real(fd, operation);
}

int fchmod(int fd, mode_t mode)
{
	FAIL_IF("fchmod", fd);
	return REAL(fchmod)(fd, mode);
}

int fchown(int fd, uid_t owner, gid_t group)
{
	FAIL_IF("fchown", fd);
	return REAL(fchown)(fd, owner, group);
}

int statx(int directory, const char *restrict path, int flags, unsigned mask, struct statx *restrict found)
{
	static unsigned long looks;
	char link[64], own[PATH_MAX];
	int done = REAL(statx)(directory, path, flags, mask, found);
	if (done == 0 && !*path) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
		ssize_t length = readlink(link, own, sizeof own - 1);
		own[length < 0 ? 0 : length] = 0;
		path = own;
	}
	if (done == 0 && fault("inode", path, 0))
		found->stx_ino = 1000000 + __atomic_add_fetch(&looks, 1, __ATOMIC_RELAXED);
	return done;
}
