"""The messages of TensorFlow's SavedModel, of its graphs, and of what lies beside them, as field numbers and types.

Made from the descriptors of TensorFlow 2.21 and tf_keras 2.21; see `proto_schema.schema_of` for the notation. Names are
those of the messages, with the names of the messages around them before them.
"""

from __future__ import annotations

from typing import Final

from weighbridge.formats.proto_schema import schema_of

SCHEMA: Final = schema_of(
    """
SavedModel: 1=saved_model_schema_version/int 2=meta_graphs/MetaGraphDef
MetaGraphDef: 1=meta_info_def/MetaGraphDefMetaInfoDef 2=graph_def/GraphDef 3=saver_def/SaverDef
  4=collection_def/MetaGraphDefCollectionDefEntry 5=signature_def/MetaGraphDefSignatureDefEntry
  6=asset_file_def/AssetFileDef 7=object_graph_def/SavedObjectGraph
MetaGraphDefMetaInfoDef: 1=meta_graph_version 2=stripped_op_list/OpList 3=any_info/Any 4=tags 5=tensorflow_version
  6=tensorflow_git_version 7=stripped_default_attrs/int
  8=function_aliases/MetaGraphDefMetaInfoDefFunctionAliasesEntry
OpList: 1=op/OpDef
OpDef: 1=name 2=input_arg/OpDefArgDef 3=output_arg/OpDefArgDef 20=control_output 4=attr/OpDefAttrDef
  8=deprecation/OpDeprecation 5=summary 6=description 18=is_commutative/int 16=is_aggregate/int 17=is_stateful/int
  19=allows_uninitialized_input/int 21=is_distributed_communication/int
OpDefArgDef: 1=name 2=description 3=type/int 4=type_attr 5=number_attr 6=type_list_attr
  7=handle_data/ResourceHandleProtoDtypeAndShape 16=is_ref/int 17=experimental_full_type/FullTypeDef
ResourceHandleProtoDtypeAndShape: 1=dtype/int 2=shape/TensorShapeProto
TensorShapeProto: 2=dim/TensorShapeProtoDim 3=unknown_rank/int
TensorShapeProtoDim: 1=size/int 2=name
FullTypeDef: 1=type_id/int 2=args/FullTypeDef 3=s 4=i/int
OpDefAttrDef: 1=name 2=type 3=default_value/AttrValue 4=description 5=has_minimum/int 6=minimum/int
  7=allowed_values/AttrValue
AttrValue: 2=s 3=i/int 4=f/float 5=b/int 6=type/int 7=shape/TensorShapeProto 8=tensor/TensorProto
  1=list/AttrValueListValue 10=func/NameAttrList 9=placeholder
TensorProto: 1=dtype/int 2=tensor_shape/TensorShapeProto 3=version_number/int 4=tensor_content/data 13=half_val/int
  5=float_val/float 6=double_val/double 7=int_val/int 8=string_val 9=scomplex_val/float 10=int64_val/int
  11=bool_val/int 12=dcomplex_val/double 14=resource_handle_val/ResourceHandleProto
  15=variant_val/VariantTensorDataProto 16=uint32_val/int 17=uint64_val/int 18=float8_val/blob
ResourceHandleProto: 1=device 2=container 3=name 4=hash_code/int 5=maybe_type_name
  6=dtypes_and_shapes/ResourceHandleProtoDtypeAndShape
VariantTensorDataProto: 1=type_name 2=metadata/blob 3=tensors/TensorProto
AttrValueListValue: 2=s 3=i/int 4=f/float 5=b/int 6=type/int 7=shape/TensorShapeProto 8=tensor/TensorProto
  9=func/NameAttrList
NameAttrList: 1=name 2=attr/NameAttrListAttrEntry
NameAttrListAttrEntry: 1=key 2=value/AttrValue
OpDeprecation: 1=version/int 2=explanation
Any: 1=type_url 2=value/blob
MetaGraphDefMetaInfoDefFunctionAliasesEntry: 1=key 2=value
GraphDef: 1=node/NodeDef 4=versions/VersionDef 3=version/int 2=library/FunctionDefLibrary
  5=debug_info/GraphDebugInfo
NodeDef: 1=name 2=op 3=input 4=device 5=attr/NodeDefAttrEntry 6=experimental_debug_info/NodeDefExperimentalDebugInfo
  7=experimental_type/FullTypeDef
NodeDefAttrEntry: 1=key 2=value/AttrValue
NodeDefExperimentalDebugInfo: 1=original_node_names 2=original_func_names
VersionDef: 1=producer/int 2=min_consumer/int 3=bad_consumers/int
FunctionDefLibrary: 1=function/FunctionDef 2=gradient/GradientDef 3=registered_gradients/RegisteredGradient
FunctionDef: 1=signature/OpDef 5=attr/FunctionDefAttrEntry 7=arg_attr/FunctionDefArgAttrEntry
  8=resource_arg_unique_id/FunctionDefResourceArgUniqueIdEntry 3=node_def/NodeDef 4=ret/FunctionDefRetEntry
  6=control_ret/FunctionDefControlRetEntry
FunctionDefAttrEntry: 1=key 2=value/AttrValue
FunctionDefArgAttrEntry: 1=key/int 2=value/FunctionDefArgAttrs
FunctionDefArgAttrs: 1=attr/FunctionDefArgAttrsAttrEntry
FunctionDefArgAttrsAttrEntry: 1=key 2=value/AttrValue
FunctionDefResourceArgUniqueIdEntry: 1=key/int 2=value/int
FunctionDefRetEntry: 1=key 2=value
FunctionDefControlRetEntry: 1=key 2=value
GradientDef: 1=function_name 2=gradient_func
RegisteredGradient: 1=gradient_func 2=registered_op_type
GraphDebugInfo: 1=files 4=frames_by_id/GraphDebugInfoFramesByIdEntry 6=traces_by_id/GraphDebugInfoTracesByIdEntry
  2=traces/GraphDebugInfoTracesEntry 5=name_to_trace_id/GraphDebugInfoNameToTraceIdEntry
GraphDebugInfoFramesByIdEntry: 1=key/int 2=value/GraphDebugInfoFileLineCol
GraphDebugInfoFileLineCol: 1=file_index/int 2=line/int 3=col/int 4=func 5=code
GraphDebugInfoTracesByIdEntry: 1=key/int 2=value/GraphDebugInfoStackTrace
GraphDebugInfoStackTrace: 1=file_line_cols/GraphDebugInfoFileLineCol 2=frame_id/int
GraphDebugInfoTracesEntry: 1=key 2=value/GraphDebugInfoStackTrace
GraphDebugInfoNameToTraceIdEntry: 1=key 2=value/int
SaverDef: 1=filename_tensor_name 2=save_tensor_name 3=restore_op_name 4=max_to_keep/int 5=sharded/int
  6=keep_checkpoint_every_n_hours/float 7=version/int
MetaGraphDefCollectionDefEntry: 1=key 2=value/CollectionDef
CollectionDef: 1=node_list/CollectionDefNodeList 2=bytes_list/CollectionDefBytesList
  3=int64_list/CollectionDefInt64List 4=float_list/CollectionDefFloatList 5=any_list/CollectionDefAnyList
CollectionDefNodeList: 1=value
CollectionDefBytesList: 1=value/blob
CollectionDefInt64List: 1=value/int
CollectionDefFloatList: 1=value/float
CollectionDefAnyList: 1=value/Any
MetaGraphDefSignatureDefEntry: 1=key 2=value/SignatureDef
SignatureDef: 1=inputs/SignatureDefInputsEntry 2=outputs/SignatureDefOutputsEntry 3=method_name
  4=defaults/SignatureDefDefaultsEntry
SignatureDefInputsEntry: 1=key 2=value/TensorInfo
TensorInfo: 1=name 4=coo_sparse/TensorInfoCooSparse 5=composite_tensor/TensorInfoCompositeTensor 2=dtype/int
  3=tensor_shape/TensorShapeProto
TensorInfoCooSparse: 1=values_tensor_name 2=indices_tensor_name 3=dense_shape_tensor_name
TensorInfoCompositeTensor: 1=type_spec/TypeSpecProto 2=components/TensorInfo
TypeSpecProto: 1=type_spec_class/int 2=type_state/StructuredValue 3=type_spec_class_name 4=num_flat_components/int
StructuredValue: 1=none_value/NoneValue 11=float64_value/double 12=int64_value/int 13=string_value 14=bool_value/int
  31=tensor_shape_value/TensorShapeProto 32=tensor_dtype_value/int 33=tensor_spec_value/TensorSpecProto
  34=type_spec_value/TypeSpecProto 35=bounded_tensor_spec_value/BoundedTensorSpecProto 51=list_value/ListValue
  52=tuple_value/TupleValue 53=dict_value/DictValue 54=named_tuple_value/NamedTupleValue 55=tensor_value/TensorProto
  56=numpy_value/TensorProto
NoneValue:
TensorSpecProto: 1=name 2=shape/TensorShapeProto 3=dtype/int
BoundedTensorSpecProto: 1=name 2=shape/TensorShapeProto 3=dtype/int 4=minimum/TensorProto 5=maximum/TensorProto
ListValue: 1=values/StructuredValue
TupleValue: 1=values/StructuredValue
DictValue: 1=fields/DictValueFieldsEntry
DictValueFieldsEntry: 1=key 2=value/StructuredValue
NamedTupleValue: 1=name 2=values/PairValue
PairValue: 1=key 2=value/StructuredValue
SignatureDefOutputsEntry: 1=key 2=value/TensorInfo
SignatureDefDefaultsEntry: 1=key 2=value/TensorProto
AssetFileDef: 1=tensor_info/TensorInfo 2=filename
SavedObjectGraph: 1=nodes/SavedObject 2=concrete_functions/SavedObjectGraphConcreteFunctionsEntry
SavedObject: 1=children/TrackableObjectGraphTrackableObjectObjectReference
  15=dependencies/TrackableObjectGraphTrackableObjectObjectReference
  3=slot_variables/TrackableObjectGraphTrackableObjectSlotVariableReference 4=user_object/SavedUserObject
  5=asset/SavedAsset 6=function/SavedFunction 7=variable/SavedVariable
  8=bare_concrete_function/SavedBareConcreteFunction 9=constant/SavedConstant 10=resource/SavedResource
  12=captured_tensor/CapturedTensor 11=saveable_objects/SavedObjectSaveableObjectsEntry 13=registered_name
  14=serialized_user_proto/Any 16=registered_saver
TrackableObjectGraphTrackableObjectObjectReference: 1=node_id/int 2=local_name
TrackableObjectGraphTrackableObjectSlotVariableReference: 1=original_variable_node_id/int 2=slot_name
  3=slot_variable_node_id/int
SavedUserObject: 1=identifier 2=version/VersionDef 3=metadata/blob
SavedAsset: 1=asset_file_def_index/int
SavedFunction: 1=concrete_functions 2=function_spec/FunctionSpec
FunctionSpec: 1=fullargspec/StructuredValue 2=is_method/int 5=input_signature/StructuredValue 6=jit_compile/int
SavedVariable: 1=dtype/int 2=shape/TensorShapeProto 3=trainable/int 4=synchronization/int 5=aggregation/int 6=name
  7=device 8=experimental_distributed_variable_components/SavedVariable
SavedBareConcreteFunction: 1=concrete_function_name 2=argument_keywords 3=allowed_positional_arguments/int
  4=function_spec/FunctionSpec
SavedConstant: 1=operation
SavedResource: 1=device
CapturedTensor: 1=name 2=concrete_function
SavedObjectSaveableObjectsEntry: 1=key 2=value/SaveableObject
SaveableObject: 2=save_function/int 3=restore_function/int
SavedObjectGraphConcreteFunctionsEntry: 1=key 2=value/SavedConcreteFunction
SavedConcreteFunction: 2=bound_inputs/int 3=canonicalized_input_signature/StructuredValue
  4=output_signature/StructuredValue
FingerprintDef: 1=saved_model_checksum/int 2=graph_def_program_hash/int 3=signature_def_hash/int
  4=saved_object_graph_hash/int 5=checkpoint_hash/int 7=uuid 6=version/VersionDef
KerasSavedMetadata: 1=nodes/KerasSavedObject
KerasSavedObject: 2=node_id/int 3=node_path 4=identifier 5=metadata/blob
  6=version/KerasVersionDef
KerasVersionDef: 1=producer/int 2=min_consumer/int 3=bad_consumers/int
BundleHeaderProto: 1=num_shards/int 2=endianness/int 3=version/VersionDef
BundleEntryProto: 1=dtype/int 2=shape/TensorShapeProto 3=shard_id/int 4=offset/int 5=size/int 6=crc32c/int
  7=slices/TensorSliceProto
TensorSliceProto: 1=extent/TensorSliceProtoExtent
TensorSliceProtoExtent: 1=start/int 2=length/int
"""
)
