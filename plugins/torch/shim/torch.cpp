// What the plugin `torch` calls libtorch through: a handful of C functions.
//
// Built where libtorch's headers are (`cargo xtask runtimes torch`); 2.7 was tested. No exception
// leaves: every error is a text that the caller frees with `free`.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <torch/script.h>
#include <torch/version.h>

namespace {

struct Model {
    torch::jit::Module module;
    c10::Device device{c10::kCPU};
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
    int threads = 1;
};

struct Result {
    std::vector<at::Tensor> tensors;
};

char *text_of(const std::string &text) { return strdup(text.c_str()); }

// The first lines: what follows is a trace of C++ calls.
char *error_of(const std::exception &e) {
    std::string text = e.what();
    size_t end = text.find("\nException raised from");
    if (end != std::string::npos) text.resize(end);
    if (text.size() > 1500) text = text.substr(0, 500) + " ... " + text.substr(text.size() - 900);
    for (char &c : text) {
        if (c == '\n') c = ' ';
    }
    return text_of(text);
}

// Runs `body`; null, or the text of what went wrong.
template <typename Body> char *guarded(Body body) {
    try {
        body();
        return nullptr;
    } catch (const std::exception &e) {
        return error_of(e);
    } catch (...) {
        return text_of("an exception of an unknown kind");
    }
}

void flatten(const c10::IValue &value, std::vector<at::Tensor> &tensors) {
    if (value.isTensor()) {
        tensors.push_back(value.toTensor());
    } else if (value.isTuple()) {
        for (const auto &element : value.toTupleRef().elements()) flatten(element, tensors);
    } else if (value.isTensorList()) {
        for (const at::Tensor &element : value.toTensorVector()) tensors.push_back(element);
    } else {
        throw std::runtime_error("it returns " + value.tagKind() +
                                 ", which is neither a tensor nor a tuple of tensors");
    }
}

void read_signature(Model &model) {
    const auto &schema = model.module.get_method("forward").function().getSchema();
    const auto &arguments = schema.arguments();
    for (size_t at = 1; at < arguments.size(); at++) {
        if (!arguments[at].default_value()) model.inputs.push_back(arguments[at].name());
    }
    const auto type = schema.returns().empty() ? nullptr : schema.returns()[0].type();
    size_t count = 1;
    if (type && type->kind() == c10::TypeKind::TupleType) {
        const auto tuple = type->expectRef<c10::TupleType>();
        count = tuple.elements().size();
        if (tuple.schema()) {
            for (const auto &field : tuple.schema()->arguments()) model.outputs.push_back(field.name());
        }
    }
    for (size_t at = model.outputs.size(); at < count; at++) {
        model.outputs.push_back("output" + std::to_string(at));
    }
}

} // namespace

extern "C" {

// A tensor: torch's number of the type, lengths, elements one after the other.
struct vaccel_torch_shim_tensor {
    int32_t type;
    int32_t rank;
    const int64_t *dims;
    void *data;
    size_t size;
};

const char *vaccel_torch_shim_version(void) { return TORCH_VERSION; }

int vaccel_torch_shim_has_cuda(void) {
    try {
        return at::globalContext().hasCUDA() ? 1 : 0;
    } catch (...) {
        return 0;
    }
}

// Loads a TorchScript file, or one in memory when `path` is null.
char *vaccel_torch_shim_load(const char *path, const char *bytes, size_t size, const char *device,
                             int threads, void **to) {
    return guarded([&] {
        auto model = std::make_unique<Model>();
        model->device = c10::Device(device);
        model->threads = threads;
        if (path) {
            model->module = torch::jit::load(path, model->device);
        } else {
            std::istringstream stream(std::string(bytes, size));
            model->module = torch::jit::load(stream, model->device);
        }
        model->module.eval();
        read_signature(*model);
        *to = model.release();
    });
}

void vaccel_torch_shim_free(void *model) { delete static_cast<Model *>(model); }

// Name of an input or output; null behind the last one.
const char *vaccel_torch_shim_name(const void *of, int input, size_t at) {
    const auto *model = static_cast<const Model *>(of);
    const auto &names = input ? model->inputs : model->outputs;
    return at < names.size() ? names[at].c_str() : nullptr;
}

// Runs it on copies of tensors in the caller's memory: a model may keep what it is given.
char *vaccel_torch_shim_run(void *of, const vaccel_torch_shim_tensor *inputs, size_t count,
                            void **to) {
    return guarded([&] {
        auto *model = static_cast<Model *>(of);
        // Of this thread alone.
        if (at::get_num_threads() != model->threads) at::set_num_threads(model->threads);
        c10::InferenceMode guard;
        std::vector<c10::IValue> values;
        for (size_t at = 0; at < count; at++) {
            const auto &input = inputs[at];
            at::IntArrayRef dims(input.dims, static_cast<size_t>(input.rank));
            const auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(input.type));
            auto tensor = at::empty(dims, options);
            if (tensor.nbytes() != input.size) throw std::runtime_error("an input of a wrong length");
            if (input.size > 0) std::memcpy(tensor.data_ptr(), input.data, input.size);
            values.emplace_back(model->device.is_cpu() ? tensor : tensor.to(model->device));
        }
        auto result = std::make_unique<Result>();
        std::vector<at::Tensor> tensors;
        flatten(model->module.forward(std::move(values)), tensors);
        for (const at::Tensor &tensor : tensors) {
            result->tensors.push_back(tensor.to(c10::kCPU).contiguous());
        }
        *to = result.release();
    });
}

// A tensor of a result, as long as the result lives; 0 behind the last one.
int vaccel_torch_shim_result(const void *of, size_t at, vaccel_torch_shim_tensor *to) {
    const auto *result = static_cast<const Result *>(of);
    if (at >= result->tensors.size()) return 0;
    const at::Tensor &tensor = result->tensors[at];
    to->type = static_cast<int32_t>(tensor.scalar_type());
    to->rank = static_cast<int32_t>(tensor.dim());
    to->dims = tensor.sizes().data();
    to->data = tensor.data_ptr();
    to->size = tensor.nbytes();
    return 1;
}

void vaccel_torch_shim_result_free(void *result) { delete static_cast<Result *>(result); }
}
