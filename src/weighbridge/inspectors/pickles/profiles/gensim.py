"""gensim's models, dictionaries and word vectors, as their `save` writes them.

All of them keep the dictionary that they are given (`RpModel` notes that it was loaded). What `load` of gensim does
afterwards, reading arrays from the files beside it, goes by the names of attributes and unpickles nothing. The
functions are named as attributes and are called when a model is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.inspectors.pickles.checks import NAME_ONLY, OBJECT, Allowed, under

_CLASSES: Final = (
    *under("gensim.corpora.dictionary", "Dictionary"),
    *under("gensim.corpora.hashdictionary", "HashDictionary"),
    *under("gensim.models.atmodel", "AuthorTopicModel AuthorTopicState"),
    *under("gensim.models.base_any2vec", "BaseAny2VecModel BaseWordEmbeddingsModel"),
    *under("gensim.models.basemodel", "BaseTopicModel"),
    *under("gensim.models.bm25model", "OkapiBM25Model LuceneBM25Model AtireBM25Model"),
    *under("gensim.models.doc2vec", "Doc2Vec Doctag DocvecsArray Doc2VecVocab Doc2VecTrainables"),
    *under("gensim.models.fasttext", "FastText FastTextKeyedVectors FastTextVocab FastTextTrainables"),
    *under("gensim.models.hdpmodel", "HdpModel HdpTopicFormatter SuffStats"),
    *under(
        "gensim.models.keyedvectors",
        "KeyedVectors Word2VecKeyedVectors Doc2VecKeyedVectors FastTextKeyedVectors BaseKeyedVectors"
        " EuclideanKeyedVectors WordEmbeddingsKeyedVectors Vocab CompatVocab",
    ),
    *under("gensim.models.ldamodel", "LdaModel LdaState"),
    *under("gensim.models.ldamulticore", "LdaMulticore"),
    *under("gensim.models.ldaseqmodel", "LdaSeqModel LdaPost sslm"),
    *under("gensim.models.logentropy_model", "LogEntropyModel"),
    *under("gensim.models.lsimodel", "LsiModel Projection"),
    *under("gensim.models.nmf", "Nmf"),
    *under("gensim.models.normmodel", "NormModel"),
    *under("gensim.models.phrases", "Phrases Phraser FrozenPhrases"),
    *under("gensim.models.rpmodel", "RpModel"),
    *under("gensim.models.tfidfmodel", "TfidfModel"),
    *under("gensim.models.word2vec", "Word2Vec Word2VecVocab Word2VecTrainables Vocab"),
    *under("gensim.similarities.docsim", "MatrixSimilarity SparseMatrixSimilarity Similarity Shard"),
    *under("gensim.similarities.termsim", "SparseTermSimilarityMatrix TermSimilarityIndex"),
    *under("gensim.utils", "FakeDict SaveLoad"),
)
_FUNCTIONS: Final = (
    *under("gensim.models.phrases", "original_scorer npmi_scorer"),
    *under("gensim.models.tfidfmodel", "df2idf"),
    *under("gensim.utils", "identity call_on_class_only"),
    *under("gensim.matutils", "unitvec"),
)

REVIEWED: Final[Mapping[str, Allowed]] = {
    **dict.fromkeys(_CLASSES, OBJECT),
    **dict.fromkeys(_FUNCTIONS, NAME_ONLY),
}
