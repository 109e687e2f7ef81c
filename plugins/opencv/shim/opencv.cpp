// The few functions of OpenCV that the plugin calls, with a C interface: OpenCV has none
// since version 4. Built where OpenCV is installed, by the plugin or by hand:
//
//   c++ $(cat flags) -I/usr/include/opencv4 opencv.cpp
//       -o libvaccel-opencv-shim.so $(cat libraries)
//
// No exception leaves it. Every function returns 0, or 1 for what is wrong with the
// arguments, 2 for lack of memory, 3 for anything else, with a text.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/objdetect.hpp>
#include <opencv2/video.hpp>

extern "C" {

// Pixels, row by row without gaps, channels together. `depth`: bytes of a channel, 1
// (unsigned) or 4 (float). An encoded picture has no rows, and as many columns as bytes.
struct shim_picture {
	const uint8_t *data;
	int32_t rows, columns, channels, depth;
};

struct shim_input {
	const struct shim_picture *pictures;
	size_t nr_pictures;
	const double *numbers;
	size_t nr_numbers;
	const char *const *texts; // UTF-8, zero-terminated
	size_t nr_texts;
};

// A result, to be freed with shim_free.
struct shim_result;

int shim_version(void);
const char *shim_opencv(void);
int shim_call(const char *function, const struct shim_input *input,
	      struct shim_result **result, char *error, size_t error_size);
void shim_view(const struct shim_result *result, struct shim_picture *view);
void shim_free(struct shim_result *result);
}

struct shim_result {
	cv::Mat mat;
};

namespace {

struct bad_argument {
	std::string text;
};

// Larger pictures are refused before they take memory.
constexpr int64_t MAX_BYTES = int64_t(1) << 30;

void within(double rows, double columns, double bytes)
{
	if (!(rows >= 1 && columns >= 1 && rows <= 65536 && columns <= 65536 &&
	      rows * columns * bytes <= MAX_BYTES))
		throw bad_argument{ "a picture of " + std::to_string(rows) + " x " +
				    std::to_string(columns) + " is empty or too large" };
}

class Arguments {
    public:
	explicit Arguments(const shim_input *input) : in(*input)
	{
	}

	cv::Mat picture(size_t i) const
	{
		if (i >= in.nr_pictures)
			throw bad_argument{ "picture " + std::to_string(i) + " is missing" };
		const shim_picture &p = in.pictures[i];
		auto *data = const_cast<uint8_t *>(p.data);
		if (p.rows == 0) {
			if (p.columns <= 0)
				throw bad_argument{ "the picture is empty" };
			cv::Mat bytes(1, p.columns, CV_8U, data);
			cv::Mat decoded = cv::imdecode(bytes, cv::IMREAD_COLOR);
			if (decoded.empty())
				throw bad_argument{
					"not an encoded picture that OpenCV can read"
				};
			return decoded;
		}
		within(p.rows, p.columns, double(p.channels) * p.depth);
		return cv::Mat(p.rows, p.columns,
			       CV_MAKETYPE(p.depth == 4 ? CV_32F : CV_8U, p.channels), data);
	}

	double number(size_t i) const
	{
		if (i >= in.nr_numbers)
			throw bad_argument{ "number " + std::to_string(i) + " is missing" };
		return in.numbers[i];
	}

	double number(size_t i, double otherwise) const
	{
		return i < in.nr_numbers ? in.numbers[i] : otherwise;
	}

	int whole(size_t i, int least, int most) const
	{
		double value = number(i);
		if (!(value >= least && value <= most) || value != double(int(value)))
			throw bad_argument{ "number " + std::to_string(i) + " is " +
					    std::to_string(value) +
					    ", not a whole number from " +
					    std::to_string(least) + " to " +
					    std::to_string(most) };
		return int(value);
	}

	std::string text(size_t i, const char *otherwise) const
	{
		return i < in.nr_texts ? in.texts[i] : otherwise;
	}

	size_t numbers() const
	{
		return in.nr_numbers;
	}

    private:
	const shim_input &in;
};

int chosen(const std::string &name, std::initializer_list<std::pair<const char *, int>> all)
{
	std::string known;
	for (auto &one : all) {
		if (name == one.first)
			return one.second;
		known += known.empty() ? one.first : std::string(", ") + one.first;
	}
	throw bad_argument{ "`" + name + "` is not known; there are: " + known };
}

int interpolation(const std::string &name)
{
	return chosen(name, { { "linear", cv::INTER_LINEAR },
			      { "nearest", cv::INTER_NEAREST },
			      { "cubic", cv::INTER_CUBIC },
			      { "area", cv::INTER_AREA } });
}

cv::Mat grey(const cv::Mat &picture)
{
	if (picture.channels() == 1)
		return picture;
	cv::Mat out;
	cv::cvtColor(picture, out,
		     picture.channels() == 4 ? cv::COLOR_BGRA2GRAY : cv::COLOR_BGR2GRAY);
	return out;
}

cv::Mat warped(const Arguments &in)
{
	cv::Mat out;
	size_t count = in.numbers() < 2 ? 0 : in.numbers() - 2;
	if (count != 6 && count != 9)
		throw bad_argument{ "a warp takes width, height and 6 (affine) or 9 "
				    "(perspective) numbers" };
	cv::Size size(in.whole(0, 1, 65536), in.whole(1, 1, 65536));
	cv::Mat matrix(int(count / 3), 3, CV_64F);
	for (size_t i = 0; i < count; i++)
		matrix.at<double>(int(i / 3), int(i % 3)) = in.number(i + 2);
	cv::Mat picture = in.picture(0);
	within(size.height, size.width, double(picture.elemSize()));
	int how = interpolation(in.text(0, "linear"));
	if (count == 6)
		cv::warpAffine(picture, out, matrix, size, how);
	else
		cv::warpPerspective(picture, out, matrix, size, how);
	return out;
}

std::vector<cv::Rect> found(const Arguments &in)
{
	cv::FileStorage file(in.text(0, ""), cv::FileStorage::READ | cv::FileStorage::MEMORY);
	cv::CascadeClassifier cascade;
	if (!file.isOpened() || !cascade.read(file.getFirstTopLevelNode()))
		throw bad_argument{ "the cascade is not one that OpenCV can read" };
	cv::Mat picture = grey(in.picture(0));
	if (picture.depth() != CV_8U)
		throw bad_argument{ "a cascade looks at pictures of bytes" };
	double scale = in.number(0, 1.1);
	if (!(scale >= 1.01 && scale <= 10))
		throw bad_argument{ "the scale must be from 1.01 to 10" };
	double neighbours = in.number(1, 3), least = in.number(2, 0);
	if (!(neighbours >= 0 && neighbours <= 1000 && least >= 0 && least <= 65536))
		throw bad_argument{ "neighbours or the smallest size are out of range" };
	cv::Mat even;
	cv::equalizeHist(picture, even);
	std::vector<cv::Rect> all;
	cascade.detectMultiScale(even, all, scale, int(neighbours), 0,
				 cv::Size(int(least), int(least)));
	return all;
}

cv::Mat run(const std::string &name, const Arguments &in)
{
	cv::Mat out;
	if (name == "decode")
		return in.picture(0);
	if (name == "encode") {
		std::string kind = in.text(0, ".png");
		chosen(kind, { { ".png", 0 }, { ".jpg", 0 }, { ".bmp", 0 }, { ".webp", 0 } });
		std::vector<uint8_t> bytes;
		cv::Mat picture = in.picture(0);
		if (picture.depth() != CV_8U)
			throw bad_argument{ "only pictures of bytes are encoded" };
		if (!cv::imencode(kind, picture, bytes))
			throw bad_argument{ "the picture cannot be encoded" };
		return cv::Mat(bytes, true).reshape(1, 1);
	}
	if (name == "resize") {
		int width = in.whole(0, 1, 65536), height = in.whole(1, 1, 65536);
		cv::Mat picture = in.picture(0);
		within(height, width, double(picture.elemSize()));
		cv::resize(picture, out, cv::Size(width, height), 0, 0,
			   interpolation(in.text(0, "linear")));
		return out;
	}
	if (name == "color") {
		int to = chosen(in.text(0, "gray"), { { "gray", cv::COLOR_BGR2GRAY },
						      { "rgb", cv::COLOR_BGR2RGB },
						      { "hsv", cv::COLOR_BGR2HSV },
						      { "lab", cv::COLOR_BGR2Lab },
						      { "yuv", cv::COLOR_BGR2YUV } });
		cv::cvtColor(in.picture(0), out, to);
		return out;
	}
	if (name == "blur") {
		int size = in.whole(0, 1, 255);
		cv::GaussianBlur(in.picture(0), out, cv::Size(size, size), in.number(1, 0));
		return out;
	}
	if (name == "median") {
		cv::medianBlur(in.picture(0), out, in.whole(0, 1, 255));
		return out;
	}
	if (name == "canny") {
		cv::Canny(grey(in.picture(0)), out, in.number(0), in.number(1));
		return out;
	}
	if (name == "threshold") {
		std::string how = in.text(0, "binary");
		int kind = chosen(how, { { "binary", cv::THRESH_BINARY },
					 { "inverse", cv::THRESH_BINARY_INV },
					 { "truncate", cv::THRESH_TRUNC },
					 { "tozero", cv::THRESH_TOZERO },
					 { "otsu", cv::THRESH_BINARY | cv::THRESH_OTSU } });
		cv::Mat picture = in.picture(0);
		cv::threshold(how == "otsu" ? grey(picture) : picture, out, in.number(0),
			      in.number(1, 255), kind);
		return out;
	}
	if (name == "warp")
		return warped(in);
	if (name == "flow") {
		cv::calcOpticalFlowFarneback(grey(in.picture(0)), grey(in.picture(1)), out,
					     0.5, 3, 15, 3, 5, 1.2, 0);
		return out;
	}
	if (name == "cascade") {
		std::vector<cv::Rect> all = found(in);
		out.create(int(all.size()), 4, CV_32F);
		for (int i = 0; i < out.rows; i++) {
			const cv::Rect &r = all[size_t(i)];
			out.at<float>(i, 0) = float(r.x);
			out.at<float>(i, 1) = float(r.y);
			out.at<float>(i, 2) = float(r.width);
			out.at<float>(i, 3) = float(r.height);
		}
		return out;
	}
	if (name == "annotate") {
		cv::Mat picture = in.picture(0).clone();
		for (const cv::Rect &box : found(in))
			cv::rectangle(picture, box, cv::Scalar(0, 200, 0), 2);
		std::vector<uint8_t> bytes;
		if (!cv::imencode(".png", picture, bytes))
			throw bad_argument{ "the picture cannot be encoded" };
		return cv::Mat(bytes, true).reshape(1, 1);
	}
	throw bad_argument{ "there is no function `" + name +
			    "`; there are: decode, encode, resize, color, blur, median, "
			    "canny, threshold, warp, flow, cascade" };
}

int failed(char *error, size_t size, int code, const std::string &text)
{
	if (size > 0)
		std::snprintf(error, size, "%s", text.c_str());
	return code;
}

// What is wrong is said in the result, not on standard error.
int quiet(int, const char *, const char *, const char *, int, void *)
{
	return 0;
}

} // namespace

int shim_version(void)
{
	cv::redirectError(quiet);
	return 1;
}

const char *shim_opencv(void)
{
	return CV_VERSION;
}

int shim_call(const char *function, const struct shim_input *input,
	      struct shim_result **result, char *error, size_t error_size)
{
	try {
		cv::Mat out = run(function, Arguments(input));
		// Views of the caller's memory do not outlive the call.
		*result = new shim_result{ out.clone() };
		return 0;
	} catch (const bad_argument &bad) {
		return failed(error, error_size, 1, bad.text);
	} catch (const std::bad_alloc &) {
		return failed(error, error_size, 2, "out of memory");
	} catch (const cv::Exception &e) {
		bool memory = e.code == cv::Error::StsNoMem;
		return failed(error, error_size, memory ? 2 : 1, e.err.empty() ? e.msg : e.err);
	} catch (const std::exception &e) {
		return failed(error, error_size, 3, e.what());
	} catch (...) {
		return failed(error, error_size, 3, "an exception without a text");
	}
}

void shim_view(const struct shim_result *result, struct shim_picture *view)
{
	const cv::Mat &mat = result->mat;
	view->data = mat.data;
	view->rows = mat.rows;
	view->columns = mat.cols;
	view->channels = mat.channels();
	view->depth = mat.depth() == CV_32F ? 4 : mat.depth() == CV_8U ? 1 : 0;
}

void shim_free(struct shim_result *result)
{
	delete result;
}
