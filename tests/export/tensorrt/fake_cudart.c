/* Stands in for the CUDA runtime: the GPU's memory is this machine's, and streams and events do their work at once. */
#include <stdlib.h>
#include <string.h>

static long live, copied, launched;
static int capturing;

int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : 7; return device != 0; }
int cudaMemGetInfo(size_t *free_, size_t *total) { *free_ = 1 << 20; *total = 1 << 21; return 0; }
static int make(void **place, size_t size) { *place = malloc(size ? size : 1); ++live; return 0; }
static int drop(void *place) { free(place); --live; return 0; }
int cudaMalloc(void **place, size_t size) { return size > (1u << 30) ? 2 : make(place, size); }
int cudaFree(void *place) { return drop(place); }
int cudaMallocHost(void **place, size_t size) { return make(place, size); }
int cudaFreeHost(void *place) { return drop(place); }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
    (void)kind; (void)stream;
    memcpy(to, from, size);
    ++copied;
    return 0;
}
int cudaStreamCreate(void **stream) { return make(stream, 1); }
int cudaStreamDestroy(void *stream) { return drop(stream); }
int cudaStreamSynchronize(void *stream) { (void)stream; return 0; }
int cudaStreamBeginCapture(void *stream, int mode) { (void)stream; capturing = mode + 1; return 0; }
int cudaStreamEndCapture(void *stream, void **graph) { (void)stream; capturing = 0; return make(graph, 1); }
int cudaGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long flags) {
    (void)graph; (void)flags;
    return make(exec, 1);
}
int cudaGraphLaunch(void *graph, void *stream) { (void)graph; (void)stream; ++launched; return 0; }
int cudaGraphExecDestroy(void *graph) { return drop(graph); }
int cudaGraphDestroy(void *graph) { return drop(graph); }
int cudaEventCreate(void **event) { return make(event, 1); }
int cudaEventRecord(void *event, void *stream) { (void)event; (void)stream; return 0; }
int cudaEventSynchronize(void *event) { (void)event; return 0; }
int cudaEventElapsedTime(float *passed, void *start, void *end) { (void)start; (void)end; *passed = 1.5f; return 0; }
int cudaEventDestroy(void *event) { return drop(event); }
const char *cudaGetErrorString(int status) { return status == 2 ? "out of memory" : "unknown"; }

long fake_live(void) { return live; }
long fake_copied(void) { return copied; }
long fake_launched(void) { return launched; }
int fake_capturing(void) { return capturing; }
