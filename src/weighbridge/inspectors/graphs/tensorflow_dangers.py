"""The operations of TensorFlow that do more than compute, and what an attacker gets from each.

From the op registry, TensorFlow's SECURITY.md ("models are programs"), published attacks on SavedModels (files read and
written by ops that need no permission) and the lists of other scanners. `RestoreV2`, `SaveV2` and the like are in every
SavedModel and are judged by the path they are given, not by being there.
"""

from __future__ import annotations

import re
from typing import Final

PYTHON: Final = frozenset(("PyFunc", "PyFuncStateless", "EagerPyFunc"))
"""Call Python functions of the process by token."""

FILES: Final = frozenset(
    (
        *("ReadFile", "WriteFile", "MatchingFiles", "FixedLengthRecordReader", "FixedLengthRecordReaderV2"),
        *("TFRecordReader", "TFRecordReaderV2", "TextLineReader", "TextLineReaderV2", "WholeFileReader"),
        *("WholeFileReaderV2", "LMDBReader", "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2"),
        *("TFRecordDataset", "TFRecordDatasetV2", "TextLineDataset", "CSVDataset", "CSVDatasetV2", "LMDBDataset"),
        *("ExperimentalCSVDataset", "ExperimentalLMDBDataset", "ExperimentalSqlDataset", "SqlDataset"),
        *("ExperimentalMatchingFilesDataset", "MatchingFilesDataset", "LoadDataset", "SaveDataset", "SaveDatasetV2"),
        *("DistributedSave", "DatasetToTFRecord", "ExperimentalDatasetToTFRecord", "SnapshotDataset"),
        *("SnapshotDatasetV2", "SnapshotDatasetReader", "SnapshotNestedDatasetReader", "SnapshotChunkDataset"),
        *("ListSnapshotChunksDataset", "LoadAndRemapMatrix", "GenerateVocabRemapping", "ImmutableConst"),
        *("CreateSummaryFileWriter", "CreateSummaryDbWriter", "ImportEvent"),
        *(
            "DebugIdentity",
            "DebugIdentityV2",
            "DebugIdentityV3",
            "DebugNanCount",
            "DebugNumericSummary",
            "DumpIdentity",
        ),
        *("WriteAudioSummary", "WriteGraphSummary", "WriteHistogramSummary", "WriteImageSummary"),
        *("WriteRawProtoSummary", "WriteScalarSummary", "WriteSummary", "RecordInput"),
    )
)
"""Read, write or list files of the host, at paths that the graph chooses."""

NETWORK: Final = frozenset(
    (
        *("DataServiceDataset", "DataServiceDatasetV2", "DataServiceDatasetV3", "DataServiceDatasetV4"),
        *("RegisterDataset", "RegisterDatasetV2", "GcsConfigureCredentials", "GcsConfigureBlockCache"),
        *(
            "BigQueryReader",
            "RpcCall",
            "RpcClient",
            "RpcServer",
            "RpcServerStart",
            "RpcServerRegister",
            "Rpc",
            "TryRpc",
        ),
        *("GrpcServer", "ProcessRequest", "CollectiveInitializeCommunicator", "ConfigureDistributedTPU"),
        *("CloudBigtableClient", "KafkaDataset", "KinesisDataset", "IgniteDataset", "SendTPUEmbeddingGradientsRemote"),
    )
)
"""Talk to other machines at addresses that the graph chooses."""

NESTED: Final = frozenset(
    (
        *("DatasetFromGraph", "RemoteCall", "RemoteFusedGraphExecute", "XlaCustomCall", "XlaCustomCallV2"),
        *("XlaHostCompute", "XlaCallModule", "TRTEngineOp", "TfLiteSubgraphExecute"),
    )
)
"""Carry another program, in a form that is not read here."""

CHECKPOINTS: Final = frozenset(
    (
        *("Save", "SaveSlices", "SaveV2", "Restore", "RestoreSlice", "RestoreV2", "MergeV2Checkpoints"),
        *("InitializeTableFromTextFile", "InitializeTableFromTextFileV2", "CacheDataset", "CacheDatasetV2"),
    )
)
"""Ordinary where the path comes from outside the graph; an attack where the graph fixes it."""

ELSEWHERE: Final = re.compile(
    r"(?:https?|ftp|file|gs|s3|s3a|hdfs|ram|viewfs|grpc|ssh)://|[/\\]|~[\w.-]*/|[A-Za-z]:[\\/]|(?:[^\x00]*[/\\])?\.\.(?:[/\\]|$)",
    re.IGNORECASE,
)
"""Begins a path that leaves the folder it is read from."""
HOST_PATH: Final = re.compile(
    r"(?:https?|ftp|file|gs|s3|s3a|hdfs|grpc|ssh)://|~/|/(?:etc|proc|sys|dev|home|root|var|tmp|usr|opt|mnt|run|srv|Users)/|"
    r"(?:\.\./){2}",
    re.IGNORECASE,
)
"""Can hardly be anything but a path of a host, or an address."""
