"""The classes and functions that Keras itself has and a model's configuration may name.

Made from Keras 3.15 and tf_keras 2.21 (layers, models, optimizers, losses, metrics, initializers, regularizers,
constraints, policies, operations), with those of older releases added. Left out on purpose, although Keras has them:
whatever carries or fetches code (`Lambda`, `TorchModuleWrapper`, `TFSMLayer`, `JaxLayer`, `FlaxLayer`), and every
function that is no computation (`keras.utils.get_file`, `keras.config.enable_unsafe_deserialization` ...).
"""

from __future__ import annotations

from typing import Final

_CLASSES: Final = """
AUC AUCCurve AUCSummationMethod AWQ AWQConfig AWQDTypePolicy AbsMaxQuantizer AbstractRNNCell Accuracy Activation
ActivityRegularization Adadelta Adafactor Adagrad Adam AdamW Adamax AdaptiveAveragePooling1D
AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
AdditiveAttention AlphaDropout AtrousConvolution1D AtrousConvolution2D Attention AugMix AutoContrast Average
AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BackendLayer BackendOptimizer
BaseOptimizer BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional BinaryAccuracy
BinaryCrossentropy BinaryFocalCrossentropy BinaryIoU CTC CallContext CallSpec Callable CategoricalAccuracy
CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge
CategoryCrossing CategoryEncoding CenterCrop Circle CompileLoss CompileLossesContainer CompileMetrics Concatenate
ConcordanceCorrelation ConfusionMatrix Constant Constraint ContrastLimitedAdaptiveHistogramEqualization Conv1D
Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D ConvRecurrent2D
Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose
CosineDecay CosineDecayRestarts CosineSimilarity Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CutMix
DTypePolicy DTypePolicyMap Deconvolution2D Dense DenseFeatures DepthwiseConv1D DepthwiseConv2D Dice Discretization
DistillationLoss Distiller Dot Dropout DynamicEmbedding DynamicLookup ELU EinsumDense Embedding Enum Equalization
ExponentialDecay F1Score FBetaScore FakeQuantWithMinMaxVars FalseNegatives FalsePositives FeatureDistillation
Flatten Float8QuantizationConfig FloatDTypePolicy Ftrl Function Functional GPTQ GPTQConfig GPTQDTypePolicy
GPTQQuantizer GRU GRUCell GaussianDropout GaussianNoise GetItem GlobalAveragePooling1D GlobalAveragePooling2D
GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D
GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlorotNormal GlorotUniform
GroupNormalization GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing HeNormal HeUniform Highway Hinge
Huber Identity IdentityInitializer IndexLookup Initializer InputLayer InputSpec Int4DTypePolicy
Int4QuantizationConfig Int8QuantizationConfig IntegerLookup InverseTimeDecay IoU KLDivergence KerasHistory
KerasSaveable KerasTensor L1 L1L2 L2 LSTM LSTMCell Lamb Layer LayerNormalization LeakyReLU LearningRateSchedule
LecunNormal LecunUniform LegacyOptimizerWarning LinearModel Lion LocallyConnected1D LocallyConnected2D LogCosh
LogCoshError LogitsDistillation Loss LossFunctionWrapper LossScaleOptimizer LossScaleOptimizerV1 LossesContainer
Masking MaxNorm MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum
MaxoutDense Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanRelativeError
MeanSquaredError MeanSquaredLogarithmicError MeanTensor MelSpectrogram Merge Metric MetricsContainer MetricsList
MinMaxNorm Minimum MixUp Model MultiHeadAttention MultiOptimizer Multiply Muon MutableMapping Nadam Node NonNeg
Normalization NormalizeV2 OneHotIoU OneHotMeanIoU Ones OnesV2 Operation Optimizer OptimizerMap Orthogonal
OrthogonalInitializer OrthogonalRegularizer PReLU PearsonCorrelation Permute PiecewiseConstantDecay Pipeline Poisson
Policy PolynomialDecay Precision PrecisionAtRecall PreprocessingLayer PyMetric QuantizationConfig
QuantizedDTypePolicy QuantizedFloat8DTypePolicy Quantizer R2Score RMSNormalization RMSprop RNN RadialConstraint
RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
RandomElasticTransform RandomErasing RandomFlip RandomFourierFeatures RandomGaussianBlur RandomGrayscale
RandomHeight RandomHue RandomInitializer RandomInvert RandomNormal RandomPerspective RandomPosterization
RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomUniform RandomWidth RandomZoom
ReLU Recall RecallAtPrecision Reduction Regularizer RepeatVector Rescaling Reshape Resizing ReversibleEmbedding
RootMeanSquaredError SGD STFT STFTInitializer STFTSpectrogram ScheduleFreeAdamW SeedGenerator
SensitivityAtSpecificity SensitivitySpecificityBase SeparableConv1D SeparableConv2D SeparableConvolution1D
SeparableConvolution2D SequenceFeatures Sequential SharpnessAwareMinimization SidecarEvaluator SimpleRNN
SimpleRNNCell Softmax Solarization SparseCategoricalAccuracy SparseCategoricalCrossentropy
SparseTopKCategoricalAccuracy SpatialDropout1D SpatialDropout2D SpatialDropout3D SpecificityAtSensitivity
SpectralNormalization SquaredHinge StackedRNNCells StringLookup Subtract Sum SyncBatchNormalization TFOptimizer
TensorShape TextVectorization ThresholdedReLU TimeDistributed TimeDistributedDense Tokenizer TopKCategoricalAccuracy
Tracker Trainer TrueNegatives TruePositives TruncatedNormal Tversky UnitNorm UnitNormalization UpSampling1D
UpSampling2D UpSampling3D VarianceScaling WideDeepModel Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D Zeros
ZerosV2
"""
CLASSES: Final = frozenset(_CLASSES.split())

_OPERATIONS: Final = """
Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add All AllClose Amax Amin Angle Any Append Arange Arccos Arccosh
Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit AssociativeScan Average
AveragePool BatchNorm BinaryCrossentropy Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr
BitwiseRightShift BitwiseXor BroadcastTo CDist CTCDecode CTCLoss Cast CategoricalCrossentropy Cbrt Ceil Celu
Cholesky CholeskyInverse Clip Concatenate Cond Conj Conjugate Conv ConvTranspose ConvertToTensor Copy Corrcoef
Correlate Cos Cosh CountNonzero Cross Cumprod Cumsum Deg2rad DepthToSpace DepthwiseConv Det Diag Diagflat Diagonal
Diff Digitize Divide DivideNoNan Dot DotProductAttention Dsplit Dstack Eig Eigh Einsum Elu EmptyLike Equal Erf Erfc
Erfinv Exp Exp2 ExpandDims Expm1 ExtractSequences FFT FFT2 Fabs Flip Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod
Fold ForiLoop Full FullLike Gcd Gelu Geomspace GetItem Glu Greater GreaterEqual HardShrink HardSigmoid HardSilu
HardTanh Heaviside Histogram Hsplit Hstack Hypot I0 IFFT2 IRFFT ISTFT Imag InTopK Inner Inv IsIn Isclose Isfinite
Isinf Isnan Isneginf Isposinf Isreal JVP KerasTensor Kron LayerNorm Lcm Ldexp LeakyRelu LeftShift Less LessEqual
Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2 Logdet LogicalAnd LogicalNot LogicalOr
LogicalXor Logspace Logsumexp Lstsq LuFactor Map Matmul MatrixRank Max MaxPool Maximum Mean Median Meshgrid Min
Minimum Mod Moments Moveaxis MultiHot Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean
Nanmedian Nanmin Nanpercentile Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero Norm
Normalize NotEqual OneHot OnesLike Operation Outer PSNR Pad Percentile Pinv Polar Power Prod Ptp Qr Quantile RFFT
RMSNorm Rad2deg Ravel Real Reciprocal Relu Relu6 Repeat Reshape RightShift Roll Rot90 Round Rsqrt STFT SVD
SaturateCast Scan Scatter ScatterUpdate SearchSorted SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum
Select Selu SeparableConv Sigmoid Sign Signbit Silu Sin Sinc Sinh Size Slice SliceUpdate Slogdet SoftShrink Softmax
Softplus Softsign Solve SolveTriangular Sort SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid
Sparsemax Split Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Switch Take
TakeAlongAxis Tan Tanh TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide Trunc
Unfold Unique UnravelIndex Unstack Vander Var Vdot VectorizedMap View ViewAsComplex ViewAsReal Vsplit Vstack Where
WhileLoop ZerosLike abs absolute adaptive_average_pool adaptive_max_pool add affine_transform all allclose amax amin
angle any append arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort
array array_split associative_scan average average_pool bartlett batch_normalization binary_crossentropy bincount
bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor blackman
broadcast_to cast categorical_crossentropy cbrt cdist ceil celu cholesky cholesky_inverse clip concatenate cond conj
conjugate conv conv_transpose convert_to_numpy convert_to_tensor copy corrcoef correlate cos cosh count_nonzero
crop_images cross ctc_decode ctc_loss cumprod cumsum custom_gradient deg2rad depth_to_space depthwise_conv det diag
diagflat diagonal diff digitize divide divide_no_nan dot dot_product_attention dsplit dstack dtype eig eigh einsum
elastic_transform elu empty empty_like equal erf erfc erfinv exp exp2 expand_dims expm1 extract_patches
extract_patches_3d extract_sequences eye fabs fft fft2 flip fliplr flipud floor floor_divide fmax fmin fmod fold
fori_loop full full_like gaussian_blur gcd gelu geomspace get_item glu greater greater_equal hamming hanning
hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh heaviside histogram hsplit hstack hsv_to_rgb hypot i0
identity ifft2 imag in_top_k inner inv irfft is_tensor isclose isfinite isin isinf isnan isneginf isposinf isreal
istft jvp kaiser kron layer_normalization lcm ldexp leaky_relu left_shift less less_equal linspace log log10 log1p
log2 log_sigmoid log_softmax logaddexp logaddexp2 logdet logical_and logical_not logical_or logical_xor logspace
logsumexp lstsq lu_factor map map_coordinates matmul matrix_rank max max_pool maximum mean median meshgrid min
minimum mod moments moveaxis multi_hot multiply nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean
nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar ndim negative nextafter nonzero norm
normalize not_equal one_hot ones ones_like outer pad pad_images percentile perspective_transform pinv polar power
prod psnr ptp qr quantile rad2deg ravel real rearrange reciprocal relu relu6 repeat reshape resize rfft
rgb_to_grayscale rgb_to_hsv right_shift rms_normalization roll rot90 round rsqrt saturate_cast scale_and_translate
scan scatter scatter_update searchsorted segment_max segment_min segment_prod segment_sum select selu separable_conv
shape sigmoid sign signbit silu sin sinc sinh size slice slice_update slogdet sobel_edges soft_shrink softmax
softplus softsign solve solve_triangular sort space_to_depth sparse_categorical_crossentropy sparse_plus
sparse_sigmoid sparsemax split sqrt square squareplus squeeze ssim stack std stft stop_gradient subtract sum svd
swapaxes swish switch take take_along_axis tan tanh tanh_shrink tensordot threshold tile top_k trace transpose
trapezoid tri tril triu true_divide trunc unfold unique unravel_index unstack vander var vdot vectorize
vectorized_map view view_as_complex view_as_real vsplit vstack where while_loop zeros zeros_like
"""
OPERATIONS: Final = frozenset(_OPERATIONS.split())
"""Classes and functions under `keras.ops`."""

_FUNCTIONS: Final = """
acc accuracy binary_accuracy binary_crossentropy binary_focal_crossentropy categorical_accuracy
categorical_crossentropy categorical_focal_crossentropy categorical_generalized_cross_entropy categorical_hinge ce
celu circle concordance_correlation constant cosine cosine_similarity crossentropy ctc dice elu exponential gelu
glorot_normal glorot_uniform glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh he_normal he_uniform hinge
huber huber_loss identity kl_divergence kld kullback_leibler_divergence l1 l1_l2 l2 leaky_relu lecun_normal
lecun_uniform linear log_cosh log_sigmoid log_softmax logcosh mae mape max_norm mean_absolute_error
mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error min_max_norm mish mse msle non_neg
normal one ones orthogonal pearson_correlation poisson quick_gelu random_normal random_uniform relu relu6 selu
sigmoid silu soft_shrink softmax softmax_v2 softplus softsign sparse_categorical_accuracy
sparse_categorical_crossentropy sparse_plus sparse_sigmoid sparse_top_k_categorical_accuracy sparsemax squared_hinge
squareplus swish tanh tanh_shrink threshold top_k_categorical_accuracy truncated_normal tversky uniform unit_norm
variance_scaling zero zeros
"""
FUNCTIONS: Final = frozenset(_FUNCTIONS.split())
"""Activations, losses, metrics, initializers, regularizers and constraints, by the names that configurations use."""
