// Stands in for NCCL and the NVIDIA driver between processes of one machine without a GPU: memory is the host's, and what one rank sends
// to another is a file in a folder. It is stricter than they are: places must lie in memory that was allocated, a context must be bound
// to the thread that calls, sizes of both sides must agree, host memory may be copied to only when the stream is through.
//   FAKE_GPUS=N        how many GPUs there are (2)
//   FAKE_NCCL_FAIL=N   the Nth group of a process never ends, and NCCL reports a remote error
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INVALID = 1, NOT_READY = 600 };

// The driver.
static char contexts[16];
static _Thread_local void* bound;
static struct { uint64_t start; size_t bytes; } blocks[16];
static atomic_int pending, failed, aborted;

static int gpus(void) {
    const char* text = getenv("FAKE_GPUS");
    return text ? atoi(text) : 2;
}
static int is_allocated(uint64_t at, size_t bytes) {
    for (int i = 0; i < 16; i++)
        if (blocks[i].start && at >= blocks[i].start && at + bytes <= blocks[i].start + blocks[i].bytes) return 1;
    return 0;
}
int cuInit(unsigned flags) { return (int)flags; }
int cuDriverGetVersion(int* v) { return *v = 13000, 0; }
int cuDeviceGetCount(int* n) { return *n = gpus(), 0; }
int cuDeviceGet(int* d, int index) { return index < gpus() ? (*d = index, 0) : INVALID; }
int cuDeviceGetName(char* to, int n, int d) { return snprintf(to, (size_t)n, "fake %d", d), 0; }
int cuDeviceGetAttribute(int* v, int attribute, int d) { return (void)d, *v = attribute == 75 ? 9 : 0, 0; }
int cuDeviceTotalMem_v2(size_t* n, int d) { return (void)d, *n = (size_t)1 << 30, 0; }
int cuDevicePrimaryCtxRetain(void** c, int d) { return *c = &contexts[d], 0; }
int cuDevicePrimaryCtxRelease_v2(int d) { return d < gpus() ? 0 : INVALID; }
int cuCtxSetCurrent(void* c) { return bound = c, 0; }
int cuStreamCreate(void** s, unsigned flags) { return *s = blocks, bound && flags == 1 ? 0 : INVALID; }
int cuStreamDestroy_v2(void* s) { return s == blocks ? 0 : INVALID; }
int cuStreamQuery(void* s) { return s != blocks ? INVALID : pending ? NOT_READY : 0; }
int cuStreamSynchronize(void* s) {
    while (pending) usleep(100);
    return s == blocks ? 0 : INVALID;
}
int cuMemAlloc_v2(uint64_t* to, size_t bytes) {
    for (int i = 0; i < 16; i++)
        if (bound && !blocks[i].start) {
            *to = blocks[i].start = (uint64_t)(uintptr_t)malloc(bytes);
            blocks[i].bytes = bytes;
            return 0;
        }
    return INVALID;
}
int cuMemFree_v2(uint64_t at) {
    for (int i = 0; i < 16; i++)
        if (blocks[i].start == at) return free((void*)(uintptr_t)at), blocks[i].start = 0, 0;
    return INVALID;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t n, void* s) {
    if (!bound || pending || s != blocks || !is_allocated(to, n)) return INVALID;
    return memcpy((void*)(uintptr_t)to, from, n), 0;
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t n, void* s) {
    if (!bound || pending || s != blocks || !is_allocated(from, n)) return INVALID;
    return memcpy(to, (const void*)(uintptr_t)from, n), 0;
}
int cuGetErrorString(int code, const char** text) { return (void)code, *text = "an error of the fake driver", 0; }

// NCCL.
enum { CUDA = 1, ARGUMENT = 4, USAGE = 5, REMOTE = 6 };
typedef struct { char internal[128]; } Id;
typedef struct { char folder[128]; int rank, world; unsigned sent[64], received[64]; } Comm;
typedef struct { int send, peer; uint64_t at; size_t bytes; char name[256]; } Call;
static Call* calls;
static size_t count;
static int depth, groups;

static void post(const char* name, uint64_t at, size_t bytes) {
    char whole[300];
    snprintf(whole, sizeof whole, "%s.part", name);
    FILE* file = fopen(whole, "wb");
    if (!file || fwrite((const void*)(uintptr_t)at, 1, bytes, file) != bytes || fclose(file) || rename(whole, name)) failed = ARGUMENT;
}
static void fetch(const char* name, uint64_t at, size_t bytes) {
    FILE* file;
    while (!(file = fopen(name, "rb"))) {
        if (aborted) return;
        usleep(200);
    }
    if (fread((void*)(uintptr_t)at, 1, bytes, file) != bytes || fgetc(file) != EOF) failed = ARGUMENT;
    fclose(file);
    unlink(name);
}
typedef struct { Call* calls; size_t count; int hangs; } Work;
static void* work(void* argument) {
    Work* w = argument;
    if (w->hangs) {
        failed = REMOTE;
        while (!aborted) usleep(200);
    } else {
        for (size_t i = 0; i < w->count; i++)
            if (w->calls[i].send) post(w->calls[i].name, w->calls[i].at, w->calls[i].bytes);
        for (size_t i = 0; i < w->count; i++)
            if (!w->calls[i].send) fetch(w->calls[i].name, w->calls[i].at, w->calls[i].bytes);
    }
    free(w->calls);
    free(w);
    pending--;
    return NULL;
}
static int add(Comm* c, int send, int from, int to, uint64_t at, size_t bytes, int type, void* stream) {
    if (type != 1 || !bound || !depth || stream != blocks || !is_allocated(at, bytes) || !bytes) return ARGUMENT;
    unsigned* number = send ? &c->sent[to] : &c->received[from];
    calls = realloc(calls, (count + 1) * sizeof *calls);
    Call* call = &calls[count++];
    *call = (Call){.send = send, .at = at, .bytes = bytes};
    snprintf(call->name, sizeof call->name, "%s/%d-%d-%u", c->folder, from, to, (*number)++);
    return 0;
}

int ncclGetVersion(int* v) { return *v = 22703, 0; }
const char* ncclGetErrorString(int code) { return code == REMOTE ? "remote process exited or there was a network error" : "an error of the fake NCCL"; }
int ncclGetUniqueId(Id* id) {
    const char* folder = getenv("TMPDIR");
    snprintf(id->internal, sizeof id->internal, "%s/nccl-XXXXXX", folder ? folder : "/tmp");
    return mkdtemp(id->internal) ? 0 : 2;
}
int ncclCommInitRank(void** comm, int world, Id id, int rank) {
    if (!bound) return CUDA;
    Comm* c = calloc(1, sizeof *c);
    c->rank = rank, c->world = world;
    memcpy(c->folder, id.internal, sizeof c->folder);
    // One rank a GPU, as NCCL has it.
    char name[256];
    snprintf(name, sizeof name, "%s/gpu-%d", c->folder, (int)((char*)bound - contexts));
    if (mkdir(name, 0700)) return USAGE;
    snprintf(name, sizeof name, "%s/rank-%d", c->folder, rank);
    if (mkdir(name, 0700)) return ARGUMENT;
    for (int other = 0; other < world; other++) {
        snprintf(name, sizeof name, "%s/rank-%d", c->folder, other);
        while (access(name, F_OK)) usleep(200);
    }
    return *comm = c, 0;
}
int ncclCommDestroy(void* comm) { return pending ? ARGUMENT : (free(comm), 0); }
int ncclCommAbort(void* comm) {
    (void)comm;
    aborted = 1;
    while (pending) usleep(100);
    fprintf(stderr, "fake NCCL: aborted\n");
    return 0;
}
int ncclCommGetAsyncError(void* comm, int* code) { return *code = failed, comm ? 0 : ARGUMENT; }
int ncclGroupStart(void) { return depth++, 0; }
int ncclGroupEnd(void) {
    if (--depth) return 0;
    const char* last = getenv("FAKE_NCCL_FAIL");
    Work* w = malloc(sizeof *w);
    *w = (Work){calls, count, last && ++groups == atoi(last)};
    calls = NULL, count = 0;
    pending++;
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, w)) return 2;
    return pthread_detach(thread), 0;
}
int ncclSend(const void* from, size_t n, int type, int peer, void* comm, void* stream) {
    Comm* c = comm;
    return add(c, 1, c->rank, peer, (uint64_t)(uintptr_t)from, n, type, stream);
}
int ncclRecv(void* to, size_t n, int type, int peer, void* comm, void* stream) {
    Comm* c = comm;
    return add(c, 0, peer, c->rank, (uint64_t)(uintptr_t)to, n, type, stream);
}
int ncclBroadcast(const void* from, void* to, size_t n, int type, int root, void* comm, void* stream) {
    Comm* c = comm;
    if (from != to) return ARGUMENT;
    if (c->rank != root) return add(c, 0, root, c->rank, (uint64_t)(uintptr_t)to, n, type, stream);
    int code = 0;
    for (int other = 0; other < c->world && !code; other++)
        if (other != root) code = add(c, 1, root, other, (uint64_t)(uintptr_t)from, n, type, stream);
    return code;
}
