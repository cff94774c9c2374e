"""The operators of ONNX and of ONNX Runtime, by domain.

`STANDARD` is made from the operator schemas of onnx 1.23, all versions; the experimental ones of the first releases are
added. `MICROSOFT` is ONNX Runtime's own list (docs/ContribOperators.md, and its training operators): compiled into the
runtime, so a model brings no code along with them. Those that call out (EPContext, Snpe, PythonOp, ATen) are left out.
"""

from __future__ import annotations

from typing import Final

_STANDARD: Final = """
Abs Acos Acosh Add Affine AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
BatchNormalization Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast
CastLike CausalConvWithState Ceil Celu CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant
ConstantFill ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh Crop CumProd CumSum DFT DeformConv DepthToSpace
DequantizeLinear Det Div Dropout DynamicQuantizeLinear DynamicSlice Einsum Elu Equal Erf Exp Expand EyeLike Flatten
Floor GRU GRUUnit Gather GatherElements GatherND Gelu Gemm GivenTensorFill GlobalAveragePool GlobalLpPool
GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish
Hardmax Identity If ImageDecoder ImageScaler InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu
Less LessOrEqual LinearAttention Log LogSoftmax Loop LpNormalization LpPool MatMul MatMulInteger Max MaxPool
MaxRoiPool MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Multinomial Neg
NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Optional OptionalGetElement OptionalHasElement Or
PRelu Pad ParametricSoftplus Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN RandomNormal
RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape Resize
ReverseSequence RoiAlign RotaryEmbedding Round STFT Scale ScaledTanh Scan Scatter ScatterElements ScatterND Selu
SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap Shape Shrink
Sigmoid Sign SimplifiedLayerNormalization Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign
SpaceToDepth Split SplitToSequence Sqrt Squeeze StringConcat StringNormalizer StringSplit Sub Sum SwiGLU Swish Tan
Tanh TensorScatter TfIdfVectorizer ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
"""
STANDARD: Final = frozenset(_STANDARD.split())
_ML: Final = """
ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder
LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble
TreeEnsembleClassifier TreeEnsembleRegressor ZipMap
"""
ML: Final = frozenset(_ML.split())
PREVIEW: Final = frozenset(("Adagrad", "Adam", "FlexAttention", "Gradient", "Momentum"))
_MICROSOFT: Final = """
AdamOptimizer AdamWOptimizer Attention AttnLSTM BeamSearch BiasAdd BiasDropout BiasGelu BiasGeluGrad_dX BiasSoftmax
BiasSplitGelu BifurcationDetector BitmaskBiasDropout BitmaskDropout CDist CausalConvWithState ComplexMul
ComplexMulConj ConcatTraining ConvTransposeWithDynamicPads CropAndResize DecoderAttention
DecoderMaskedMultiHeadAttention DecoderMaskedSelfAttention DequantizeBFP DequantizeLinear DequantizeWithOrder
DivGrad DynamicQuantizeLSTM DynamicQuantizeMatMul DynamicTimeWarping EmbedLayerNormalization EngramGate ExpandDims
FastGelu FastGeluGrad FusedConv FusedConvTranspose FusedGemm FusedMatMul FusedMatMulActivation GatedAdd
GatedDeltaNet GatedRMSNorm GatedRelativePositionBias GatherBlockQuantized GatherElementsGrad GatherGrad GatherND
GatherNDGrad Gelu GeluGrad GemmFastGelu GemmFloat8 GemmaRotaryEmbedding GreedySearch GridSample GroupNorm
GroupQueryAttention InPlaceAccumulatorV2 Inverse InvertibleLayerNormalizationGrad Irfft IsAllFinite
LayerNormalization LayerNormalizationGrad LinearAttention LinearAttentionGate LongformerAttention MRotaryEmbedding
MatMulBlockQuantizedFp4Weight MatMulBlockQuantizedFp8Weight MatMulBnb4 MatMulFpQ4 MatMulInteger16
MatMulIntegerToFloat MatMulNBits MatMulNBitsMlp MatMulNBitsQkv MaxpoolWithMask MoE MulInteger MultiHeadAttention
MurmurHash3 NGramHashMapping NGramRepeatBlock NhwcConv NhwcFusedConv NhwcMaxPool PackedAttention
PackedMultiHeadAttention Pad PagedAttention QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool
QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid
QLinearSoftmax QLinearWhere QMoE QOrderedAttention QOrderedGelu QOrderedLayerNormalization
QOrderedLongformerAttention QOrderedMatMul QuantizeBFP QuantizeLinear QuantizeWithOrder QuickGelu Range
ReduceSumInteger ReduceSumTraining RelativePositionBias RemovePadding RestorePadding Rfft RotaryEmbedding
SGDOptimizerV2 SampleOp Sampling SimplifiedLayerNormalization SimplifiedLayerNormalizationGrad SkipGroupNorm
SkipLayerNormalization SkipSimplifiedLayerNormalization SliceGrad SoftmaxCrossEntropyLossInternal SoftmaxGrad
SparseAttention SparseToDenseMatMul SplitTraining Tokenizer TorchEmbedding TransposeMatMul Trilu UnfoldTensor Unique
VarlenCausalConvWithState VarlenNGramHashMapping WhisperBeamSearch WordConvEmbedding ZeroGradient
"""
MICROSOFT: Final = frozenset(_MICROSOFT.split())
