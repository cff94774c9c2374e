"""Operations of OpenVINO's published sets (opset1 to opset16), and those of its tokenizers extension.

Source: the operation set specifications in OpenVINO's documentation, and the README of openvino_tokenizers.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATIONS: Final = _words(
    """
    Abs Acos Acosh AdaptiveAvgPool AdaptiveMaxPool Add Asin Asinh Assign Atan Atanh AUGRUCell AUGRUSequence AvgPool
    BatchNormInference BatchToSpace BinaryConvolution BitwiseAnd BitwiseLeftShift BitwiseNot BitwiseOr
    BitwiseRightShift BitwiseXor Broadcast Bucketize CTCGreedyDecoder CTCGreedyDecoderSeqLen CTCLoss Ceiling Clamp
    Col2Im Concat Const Constant Convert ConvertLike ConvertPromoteTypes Convolution ConvolutionBackpropData Cos Cosh
    CumSum DFT DeformableConvolution DeformablePSROIPooling DepthToSpace DetectionOutput Divide Einsum Elu
    EmbeddingBagOffsets EmbeddingBagOffsetsSum EmbeddingBagPacked EmbeddingBagPackedSum EmbeddingSegmentsSum Equal Erf
    Exp ExperimentalDetectronDetectionOutput ExperimentalDetectronGenerateProposalsSingleImage
    ExperimentalDetectronPriorGridGenerator ExperimentalDetectronROIFeatureExtractor ExperimentalDetectronTopKROIs
    ExtractImagePatches Eye FakeConvert FakeQuantize Floor FloorMod GRN GRUCell GRUSequence Gather GatherElements
    GatherND GatherTree Gelu GenerateProposals Greater GreaterEqual GridSample GroupConvolution
    GroupConvolutionBackpropData GroupNormalization HSigmoid HSwish HardSigmoid I420toBGR I420toRGB IDFT IRDFT ISTFT
    Identity If Interpolate Inverse IsFinite IsInf IsNaN LRN LSTMCell LSTMSequence LSTMCellv1 Less LessEqual Log
    LogSoftmax LogicalAnd LogicalNot LogicalOr LogicalXor Loop MVN MatMul MatrixNms MaxPool Maximum Minimum Mish Mod
    MulticlassNms Multinomial Multiply NV12toBGR NV12toRGB Negative NonMaxSuppression NonZero NormalizeL2 NotEqual
    OneHot PRelu PSROIPooling Pad Parameter PagedAttentionExtension PermuteScores Power PriorBox PriorBoxClustered
    Proposal RDFT RMS RMSNorm RNNCell RNNSequence ROIAlign ROIAlignRotated ROIPooling RandomUniform Range ReLU
    ReadValue ReduceL1 ReduceL2 ReduceLogicalAnd ReduceLogicalOr ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    RegionYolo ReorgYolo Relu Reshape Result Reverse ReverseSequence Roll Round ScaledDotProductAttention
    ScatterElementsUpdate ScatterNDUpdate ScatterUpdate SearchSorted SegmentMax Select Selu ShapeOf ShuffleChannels
    Sigmoid Sign Sin Sinh Slice SliceScatter SoftMax SoftPlus SoftSign Softmax Softsign SpaceToBatch SpaceToDepth
    SparseFillEmptyRows Split Sqrt SquaredDifference Squeeze STFT StridedSlice StringTensorPack StringTensorUnpack
    Subtract Swish Tan Tanh TensorIterator Tile TopK Transpose Unique Unsqueeze Upsample VariadicSplit Xor
    """
)
TOKENIZER_OPERATIONS: Final = _words(
    """
    BPETokenizer BytesToChars CaseFold CharsMapNormalization CharsToBytes CombineSegments EqualStr FuzeRagged
    NormalizeUnicode RaggedTensorPack RaggedToDense RaggedToRagged RaggedToSparse RegexNormalization RegexSplit
    SentenceSplit SentencepieceDetokenizer SentencepieceStreamDetokenizer SentencepieceTokenizer SpecialTokensSplit
    StringTensorPack StringTensorUnpack StringToHashBucketFast TrieTokenizer Truncate UTF8Validate UnigramTokenizer
    VocabDecoder VocabEncoder WordpieceTokenizer
    """
)
