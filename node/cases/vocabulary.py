"""The words of scanners and radiographers, by what they mean for the role of a series.

Patterns are matched on the result of `plain_text`: NFKC, lower case, separators replaced by spaces, once as written and
once with camel case split ("PostGd" -> "post gd"). English, German, French, Spanish, Italian and Chinese. Vendor names:
Siemens, GE, Philips, Canon/Toshiba, Hitachi/Fujifilm, United Imaging.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_SEPARATORS = re.compile(r"[_\-./\\|,;:()<>\[\]{}=&%#\"'!?~]+")
# Before lower-casing, which would lose where the words of "PostGd" begin.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")


def plain_text(*texts: object) -> str:
    """Normalise texts for matching.

    Parameters
    ----------
    *texts : object
        Values of a header; empty ones are ignored.

    Returns
    -------
    str
        One line in lower case, padded with spaces; where camel case was split, both forms with " | " between them.
    """
    joined = unicodedata.normalize("NFKC", " ".join(str(text) for text in texts if text))
    spaced = _SEPARATORS.sub(" ", joined)
    split = _CAMEL.sub(" ", spaced)
    both = spaced if split == spaced else f"{spaced} | {split}"
    return f" {' '.join(both.lower().split())} "


def _words(*alternatives: str) -> re.Pattern[str]:
    """Compile whole words (or phrases with single spaces); a word of Chinese characters matches anywhere."""
    # `\b` would not do: it counts Chinese characters as letters, so "t1增强" has no boundary after the 1.
    latin = [word for word in alternatives if word.isascii() or not _is_han(word)]
    han = [word for word in alternatives if word not in latin]
    parts = [rf"(?<![a-z0-9])(?:{'|'.join(latin)})(?![a-z0-9])"] if latin else []
    return re.compile("|".join(parts + han))


def _is_han(word: str) -> bool:
    return any("一" <= character <= "鿿" for character in word)


# Kinds of series that are none of the three: meaning -> words.
NOT_A_ROLE: Mapping[str, re.Pattern[str]] = {
    "a localizer or calibration": _words(
        r"loc\d*", r"locali[sz]er\w*", r"locali[sz]ador\w*", r"lokali\w*", r"localis\w*", "scout", "aascout",
        r"aahead\w*", r"aahscout\w*",
        r"survey\w*", "pilot", r"topogram\w*", r"3 ?pl(?:ane)?", r"three ?planes?", "tri ?planes?", r"plan ?scan",
        "smart ?brain", "smartspine",
        r"rep[eé]rage", "smartexam", "cal", r"calib\w*", "asset ?cal", "ref ?scan", "reference ?scan", "coil ?survey",
        "sense ?ref",
        r"ref ?(?:head|neck|hns|body|spine|breast)\w*",
        "coilsens", r"shim ?(?:map|ming|scan)\w*", "prescan", r"pre ?scan", "plano? ?scout", "centratura", "b1 ?cal",
        "定位", "定位像", "校准",
    ),
    "diffusion-weighted": _words(
        r"\w*dwi\w*", r"\w*diff", r"diffusion\w*", r"diffus\w*", r"\w{0,3}adc\w*", "dti\\w*", "dki", "dsi",
        "noddi", "ivim", r"b ?\d{2,5}", "b0", r"b ?val\w*",
        "resolve", "ep2d diff", r"trace\w*", "tensor\\w*", "colfa", "fa map", "fractional anisotropy", "tractography",
        r"\d+ ?dirs?(?:ections?)?", r"apparent diffusion\w*", "isotropic diff", "zoomit diff", "muse", "dwibs",
        r"exp ?adc", "弥散", "扩散", "表观",
    ),
    "perfusion or dynamic": _words(
        r"perf\w*", "dsc", "dce", r"p?c?asl\w*", r"\dd ?p?c?asl", r"rel ?cb[fv]", "r?cb[fv]", "mtt", "ttp", "tmax",
        "gbp", "pbp", "twist", "tricks",
        "keyhole dyn", r"wash ?(?:in|out)", "disco", "4d thrive", "灌注", r"perfus\w*", "ktrans", "time to peak", "pei",
        "dynasuite", r"dyna ?views?\w*", "grasp", r"permeab\w*", r"iauc\w*",
    ),
    "angiography": _words(
        r"\w*tof\w*", r"\w*angio\w*", "mra", r"\w+ mra", "mrv", "cemra", "ce mra", r"veno\w*gram\w*", r"fl3d ce",
        "[23]d ?pca?", "pca", "phase contrast", "pc3d", "inhance", "trance",
        r"care ?bolus", "bolus ?track\\w*", "test ?bolus", "smartprep", "native truefisp", "qiss",
        "血管", "动脉", "静脉",
        "venous", "flow ?quant", "qflow", "4d ?flow", "carotids? ce",
    ),
    "a projection": _words(
        r"mips?", r"m ?ips? ?\d*", "minips?", "mnip", "thick ?mip", r"projected\w*", r"projection\w*", "collapse",
        "rotation\\w*", "tumble", "投影",
    ),
    "a subtraction": _words(
        r"subs?(?! ?\d)", "subtr\\w*", "subtrak\\w*", r"s\d+ s\d+", "sustrac\\w*", "soustr\\w*", "sottraz\\w*", "减影",
        "differenz\\w*",
    ),
    "T2*-weighted or susceptibility": _words(
        r"\w?t2w?i? ?\*\w*", r"\w?t2 ?star\w*", "swi\\w*", "swan", "swip", r"susc\w*", "medic", "merge", "cosmic",
        r"hemo\w*", r"haemo\w*", r"häm\w*", "veno ?bold",
        r"t2w? (?:fl2d|fl3d|gre|ffe|flash|me2d|me3d|fgre)\w*", r"(?:gre|ffe|fl2d|fgre|fe) t2\w*", "t2w? fe epi",
        r"(?:mf|m)gre", "qsm", "flair star", "bsi", "fsbb", "esr", "磁敏感", r"pha ?images?",
    ),
    "a field map": _words(
        r"field ?map\w*", "gre field mapping", r"fmap\w*", r"b[01] ?map\w*", r"b1", "b0 ns", "spinecho ?fieldmap\\w*",
        "delta ?te", "tfl b1map\\w*", "shimmap",
    ),
    "functional MRI": _words(
        r"bold\w*", "f ?mri\\w*", "rs ?f?mri", r"rest ?\d*", r"resting\w*", "task\\w*", "fc ?mri", r"\w*bold\w*",
        "sbref", "epi", r"ep2d\w*", r"epi\w*", r"se ?epi\w*", "fe epi", "mbep2d",
    ),
    "a quantitative map or relaxometry": _words(
        r"t[12] ?rho\w*", r"t[12] ?maps?", r"\w* ?mapping", r"q ?t[12]\w*", r"r[12]\*", r"r2 ?star", r"relax\w*",
        r"mwf", "magic", "symri", "synthetic", r"synth\w*",
        r"mr ?fingerprint\w*", "mrf", r"(?:\d+|multi) ?echo(?:es)?", "multiecho", "look ?locker", "molli", "shmolli",
        "tmap", "t[12] ?calc\\w*", r"se ti \d+", "mp2rage inv\\d?", "ideal ?iq", "fat ?frac\\w*", "pdff", "ff",
        "mt ?sat", "mtr", "cest", "apt\\w{0,2}",
    ),
    "spectroscopy": _words(
        r"svs\w*", r"\w*csi", r"mrs", r"mrsi", r"spectro\w*", r"press", "steam", r"probe\w*", r"metabol\w*",
        "semi ?laser", "mega\\w*", "波谱",
    ),
    "proton-density-weighted": _words(r"\w?pdw?i?\w{0,3}", r"proton ?dens\w*", r"protonen\w*", "dp", "density", "质子"),
    "balanced or mixed steady-state": _words(
        r"fiesta\w*", r"ciss\w*", "tru ?fi\\w*", r"true ?fisp\w*", "b ?ffe", "b ?tfe", "balanced", r"dess", "ssfp\\w*",
        "de3d", "psif", "ci3d", "3d ?hyce",
    ),
    "hydrography": _words("mrcp\\w*", r"chol\w*", "mr ?cp", "mru", "uro\\w*", r"hydro\w*", r"myelo\w*", "rctm"),
    "elastography, tagging or cine": _words(
        "mre", "elasto\\w*", "tagg\\w*", "cine\\w*", "spamm", "csf ?flow", "venc\\w*", "pc csf",
    ),
    "an ultrashort-echo or attenuation scan": _words(
        "ute\\w*", "zte", "petra", "mrac\\w*", "attenuation", "umap", "mu ?map", "dixon ac",
    ),
    "a screenshot or a report": _words(
        "screen\\w*", r"snap ?shots?", "capture", "secondary capture", "reports?", "summary", "phoenix\\w*",
        "evidence", "exam ?card", "series ?card", "dose", "movie", "overlay", "fused", "fusion\\w*", "results?",
        "key ?images?", "processed images?", "presentation state", "截图", "报告", "navigator", "phase images?",
    ),
}  # fmt: skip

FLAIR = _words(
    r"\w*flair\w*",
    r"dark ?fl\w*",
    "fluid ?att\\w*",
    r"spc ?ir\w*",
    "spcir\\w*",
    "tirm dark\\w*",
    "irfse flair",
    "压水",
    "水抑制",
    "黑水",
)
STIR = _words(
    r"\w*stir\w*", r"short ?ti\w*", r"short ?tau\w*", "turbo ?stir", "irfse", "tse ?ir", "tir2d\\w*", r"tirm\w*"
)
DIXON_REJECTED = _words(
    "opp",
    "op",
    "out",
    "oop",
    r"opp? ?ph\w*",
    r"opposed\w*",
    r"out ?(?:of ?)?phase\w*",
    "fat only",
    "fat",
    "f",
    "outphase",
    "oppphase",
    "反相位",
    "脂肪",
)
DIXON_IN = _words("in", r"in ?ph\w*", "ip", "inphase", "同相位")
DIXON_WATER = _words("w", "water", r"water ?only", "水像")
DIXON = _words(
    r"\w*dixon\w*",
    r"\w*ideal",
    "flex",
    "lava ?flex",
    "mdix\\w*",
    r"\w*wfi",
    "fatsep\\w*",
    r"\w*wfs",
    "qdix\\w*",
    "mdixon\\w*",
    "dix",
)
DYNAMIC = _words("动态", r"dyn", r"dynam\w*", r"ph\d+", "arterial", r"portal\w*", "multi ?phase")
SEVERAL_IMAGES = _words("all")  # a Dixon series of all its images
MP2RAGE = _words(r"mp2rage\w*")
REFORMAT = _words(
    r"mpr range\w*", "mpr collection", r"reformat\w*", r"refmt\w*", r"recon ?\d*", "curved", r"rekon\w*", "rfmt",
    "重建", "重组",
)  # fmt: skip

# Weighting; up to two letters may precede it (Philips writes sT1W, eT2W), or a plane or sequence word without a space.
_PREFIX = r"(?<![a-z0-9])(?!mt)(?:[a-z]{1,2}|tra|cor|sag|[23]d|fse|tse|irfse|fs|obl)?"
T1 = re.compile(_PREFIX + r"t1(?!\d|\s?rho|\s?map|\s?calc)")
T2 = re.compile(_PREFIX + r"t2(?!\d|\s?\*|w\s?\*|\s?star|\s?rho|\s?map|\s?calc|\s?shine)")
T1_SEQUENCE = _words(
    r"\w*mp ?rage\w*", r"bravo\w*", r"f?spgr\w*", r"ir ?f?spgr\w*", r"\w*vibe\w*", r"lava\w*", r"e?thrive\w*",
    r"s?thri", r"\w*quick ?3d\w*", "tfl3d\\w*", "t1 ?tfe", "3d ?tfe", "s?t1 ?ffe", "fsgr", "fast ?spgr", "gre fsp",
    "tigre", "quick ?star", "star ?vibe", "ffe3d", "mpr",
)  # fmt: skip
T2_SEQUENCE = _words(r"haste\w*", "frfse\\w*", "ssfse\\w*", "s?ssh", "fase\\w*")
SPIN_ECHO_SEQUENCE = _words(
    r"[23]?d?_?f?r?fse\w*", r"\w?tse\w*", r"t?se2d\w*", r"t?se3d\w*", r"\w*spc\w*", "space", "cube", "vista",
    "brainview", "mvox", "isofse", "fase\\w*", r"haste\w*", r"ssfse", "grase", "tgse", r"blade\w*", r"propeller",
    "multivane", "jet", "arms", "radar", "se", "turbo ?spin ?echo", "spin ?echo", "mx3d", "matrix",
)  # fmt: skip
GRADIENT_ECHO_SEQUENCE = _words(
    r"\w*fl[23]d\w*",
    r"\w*flash\w*",
    r"t?ffe\w*",
    r"tfe\w*",
    r"\w*gre\w*",
    r"f?spgr\w*",
    r"t1 tfe",
    "fe3d\\w*",
    r"\w*ffe\w*",
    "rage",
    "rssg",
    "sarge",
    "fast ?fe",
)
FAT_SUPPRESSED = _words(
    "fs", r"t[12]w?i?fs\w*", r"fat ?sat\w*", "fatsup\\w*", "fat ?supp\\w*", "spir", "spair", "spi", "spectral fs",
    "chem ?sat", "we", "water ?ex\\w*", "proset", "cs", "special", "asprir", "aspir", "q ?fs", "qfatsat\\w*",
    "fettsat\\w*", "fettges\\w*", "fettunter\\w*", "sat gras\\w*", "supr\\w* gras\\w*", "dixon w", "water",
    "压脂", "抑脂", "脂肪抑制",
)  # fmt: skip

# Contrast agent, stated and denied.
CONTRAST_SAID = re.compile(
    r"\+ ?c(?![a-z0-9])|(?<![a-z0-9])c ?\+|\+ ?(?:gd|gad\w*|km|ce|contrast\w*|civ|iv|dye|k)(?![a-z0-9])|"
    r"(?<![a-z0-9])(?:t1w?i?c|t1w?i?ce|t1w?i?gd|t1w?i?km|ce ?t1w?i?\w*|t1w?i?\+(?=\s)|ce|gd|gad|gado\w*|gadd?\w*ate|km|"
    r"kontrast\w*|kontrm\w*|contrast\w*|cont|cm|mdc|post(?!\w)|p[oó]s|postcont\w*|postcon|postgd|postgad\w*|postkm|posc\w*|"
    r"after|nach|apr[eè]s|dopo|despu[eé]s|enh|enhanced?|enhancement|inj|inject\w*|inyect\w*|civ|iv ?contrast|dotarem|"
    r"gadovist|gadavist|magnevist|omniscan|multihance|prohance|clariscan|primovist|eovist|elucirem|dtpa|gd ?dtpa|"
    r"delayed)(?![a-z0-9])|增强|增強|强化|強化|增后|注药后|造影|контраст|조영"
)
CONTRAST_DENIED = re.compile(
    r"(?<![a-z0-9])(?:pre|precontrast\w*|pregad\w*|pregd|prekm|non|noncontrast\w*|nonce|nonenh\w*|noncon\w*|"
    r"no ?(?:contrast\w*|gd|gad\w*|km|ce)|w ?o|without|wout|woc|ohne|o ?km|oh ?km|nativ\w*|natif\w*|basal|sans|sin|"
    r"senza|unenh\w*|un ?enhanced|plain|before|avant|vor|prima|antes|minus ?c)(?![a-z0-9])|"
    r"平扫|平掃|非增强|增强前|注药前|不增强|造影前|非造影|単純|без контраст|조영 ?전|비조영"
)
CONTRAST_WITH_AND_WITHOUT = re.compile(
    r"(?<![a-z0-9])(?:w wo|wo w|w w o|w o and w|w and w o|with and without|without and with|mit und ohne|ohne und mit|"
    r"pre ?(?:and|und|et|y|\+) ?post)(?![a-z0-9])|平[扫掃] ?[+及加和] ?增[强強]"
)
# "T1-C" may mean with or without; "SPIRC", "T1WI (+)" mostly mean with.
CONTRAST_UNCLEAR = re.compile(
    r"(?<![a-z0-9+])c(?![a-z0-9+])(?! ?\+| ?sp)|(?:spir|spair|tse|fse|dixon|vibe|fs)c(?![a-z0-9])|"
    r"(?<=\s)\+(?=\s*(?:\||$))"
)
# GE's products of a series: collapsed and projected images.
PRODUCT_OF_A_SERIES = re.compile(r"\s*(?:COL|PJN|MIP|VR)\s*:", re.IGNORECASE)
POST_TREATMENT = _words(
    r"post ?(?:op\w*|surg\w*|rt|radi\w*|chemo\w*|treat\w*|tx|therap\w*|nact|ict|rx|biops\w*)",
    "after ?(?:rt|chemo\\w*|treat\\w*)",
    "nach ?(?:rt|op|bestrahl\\w*)",
    "放疗后",
    "化疗后",
    "术后",
)
NO_AGENT = frozenset({
    "", "none", "no", "n", "nein", "non", "ohne", "without", "0", "no contrast", "not applicable", "n a", "na", "null",
    "nil", "unknown", "off", "无", "无造影剂", "未使用",
})  # fmt: skip

AGENT_DENIED = re.compile(
    r"(?<![a-z0-9])(?:no|non|not|none|nil|null|nothing|never|false|negativ\w*|nein|kein\w*|nicht\w*|nix|aucune?|"
    r"pas de|ning\w*|ness\w*|geen|zonder|ingen|utan|uden|nej|brak|bez|n a|nac)(?![a-z0-9])|"
    "无|無|未|否|没有|沒有|不用|不使用|なし|ナシ|いいえ|없음|미사용|нет|без|не введ|" + CONTRAST_DENIED.pattern
)
AGENT_NOT_GIVEN = re.compile(
    r"(?<![a-z0-9])(?:not|nicht) (?:given|used|administered|applied|injected|gegeben|verabreicht|appliziert|"
    r"gespritzt|benutzt)(?![a-z0-9])"
)
AGENT_NAME = re.compile(
    r"(?<![a-z0-9])(?:gad\w*|gd\w*|dota\w*|magne\w*|omnisc\w*|multih\w*|proh\w*|claris\w*|primov\w*|eovist|elucirem|vueway|"
    r"artirem|ablavar|vasovist|feraheme|resovist|optimark)|钆|釓|莫迪司|马根维显|磁显葡胺|ガド|マグネ|プロハンス|가도|гад"
)
_NO_DOSE = re.compile(r"(?<![\d.,])0+(?:[.,]0+)?\s*(?:(?:ml|cc|mmol|µmol|mg|g|l)\b|$)")


def denies_agent(text: object) -> bool:
    """Return whether a text in a field for the contrast agent says that none was given.

    Technicians write the answer into the field in their own language, and with it what they know besides.

    Parameters
    ----------
    text : object
        Contrast/Bolus Agent, or the meaning of a code for it.

    Returns
    -------
    bool
        True for an empty text, a dose of 0, and words of denial; where an agent is named, only for denial before the
        name ("ohne Gadovist") or of the administration ("Gadovist, not given").
    """
    written = unicodedata.normalize("NFKC", str(text or "")).lower().strip()
    plain = plain_text(text).split("|")[0].strip()
    if plain in NO_AGENT or _NO_DOSE.search(written) or AGENT_NOT_GIVEN.search(plain):
        return True
    denial, agent = AGENT_DENIED.search(plain), AGENT_NAME.search(plain)
    return denial is not None and (agent is None or denial.start() < agent.start())


# Body parts that are not head and neck, in BodyPartExamined or a study description.
NOT_HEAD_NECK = _words(
    "abdomen", "abdom\\w*", "pelvis", "prostate", "knee", "shoulder", "hip", "ankle", "foot", "wrist", "hand",
    "elbow", "breast\\w*", "chest", "thorax", "heart", "cardiac", "liver", "kidney", "uterus", "lspine", "tspine",
    "l spine", "t spine", "lumbar\\w*", "rectum", "thigh", "leg", "arm", "oberbauch", "becken",
    "膝", "腹", "盆", "前列腺", "乳腺", "肝", "腰椎",
)  # fmt: skip
