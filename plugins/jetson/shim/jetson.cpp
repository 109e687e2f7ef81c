// The five image operations of jetson-inference behind a C interface.
//
// UNTESTED: written from the documentation of jetson-inference, and neither compiled nor run
// on a Jetson yet. README.md says how to build it.

#include <jetson-inference/depthNet.h>
#include <jetson-inference/detectNet.h>
#include <jetson-inference/imageNet.h>
#include <jetson-inference/poseNet.h>
#include <jetson-inference/segNet.h>
#include <jetson-utils/cudaMappedMemory.h>
#include <jetson-utils/imageIO.h>

#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

namespace {

// Pixels that processor and GPU share, in rows without gaps.
struct Pixels {
    uchar3 *at = nullptr;
    Pixels(uint32_t width, uint32_t height) {
        const size_t size = size_t(width) * height * sizeof(uchar3);
        if (!cudaAllocMapped(reinterpret_cast<void **>(&at), size))
            throw std::runtime_error("no memory that the GPU shares");
    }
    ~Pixels() { cudaFreeHost(at); }
    Pixels(const Pixels &) = delete;
    Pixels &operator=(const Pixels &) = delete;
};

// A network of a task, made once: building one for TensorRT takes minutes.
template <class Net> Net &network(const std::string &name) {
    static std::map<std::string, std::unique_ptr<Net>> made;
    auto &found = made[name];
    if (!found)
        found.reset(Net::Create(name.c_str()));
    if (!found) {
        made.erase(name);
        throw std::runtime_error("there is no network `" + name + "`, or it cannot be loaded");
    }
    return *found;
}

void must(bool done, const char *what) {
    if (!done)
        throw std::runtime_error(std::string(what) + " failed");
}

std::string classify(const std::string &name, Pixels &pixels, uint32_t width, uint32_t height) {
    auto &net = network<imageNet>(name);
    float confidence = 0;
    const int found = net.Classify(pixels.at, width, height, &confidence);
    must(found >= 0, "Classify");
    char percent[32];
    std::snprintf(percent, sizeof percent, ": %.1f %%", confidence * 100);
    return std::string(net.GetClassDesc(found)) + percent + "\n";
}

// Draws what a network finds into the picture.
void draw(int task, const std::string &name, Pixels &pixels, uint32_t width, uint32_t height) {
    switch (task) {
    case 1: {
        detectNet::Detection *boxes = nullptr;
        auto &net = network<detectNet>(name);
        const int count =
            net.Detect(pixels.at, width, height, &boxes, detectNet::OVERLAY_BOX | detectNet::OVERLAY_LABEL);
        return must(count >= 0, "Detect");
    }
    case 2: {
        auto &net = network<segNet>(name);
        must(net.Process(pixels.at, width, height), "Process");
        return must(net.Overlay(pixels.at, width, height), "Overlay");
    }
    case 3:
        return must(network<poseNet>(name).Process(pixels.at, width, height), "Process");
    case 4: {
        Pixels depth(width, height);
        must(network<depthNet>(name).Process(pixels.at, width, height, depth.at, width, height), "Process");
        must(cudaDeviceSynchronize() == cudaSuccess, "cudaDeviceSynchronize");
        std::memcpy(pixels.at, depth.at, size_t(width) * height * sizeof(uchar3));
        return;
    }
    }
    throw std::runtime_error("no such task");
}

} // namespace

// Runs a task (0 classify, 1 detect, 2 segment, 3 pose, 4 depth) on a picture of 3 bytes for
// each pixel. Writes the annotated picture to `output`, where it is not null. `text` gets what a
// classification says. Returns null, or what went wrong; both texts are for free().
extern "C" __attribute__((visibility("default"))) char *
vaccel_jetson_shim_run(int task, const char *name, const uint8_t *rgb, uint32_t width, uint32_t height,
                       const char *output, char **text) noexcept {
    // Networks are no friends of several threads.
    static std::mutex one_at_a_time;
    try {
        std::lock_guard<std::mutex> lock(one_at_a_time);
        Pixels pixels(width, height);
        std::memcpy(pixels.at, rgb, size_t(width) * height * sizeof(uchar3));
        if (task == 0)
            *text = strdup(classify(name, pixels, width, height).c_str());
        else
            draw(task, name, pixels, width, height);
        must(cudaDeviceSynchronize() == cudaSuccess, "cudaDeviceSynchronize");
        if (output)
            must(saveImage(output, pixels.at, int(width), int(height)), "saveImage");
        return nullptr;
    } catch (const std::exception &error) {
        return strdup(error.what());
    } catch (...) {
        return strdup("jetson-inference failed");
    }
}
