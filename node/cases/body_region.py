"""The body region that the texts of a study name: head and neck, or another one.

English, German, French, Spanish, Portuguese, Italian, Dutch, Russian, Chinese, Japanese and Korean. A text that names
head or neck together with other regions ("neck and thorax") contradicts nothing; "head of femur", 股骨头 and 宫颈 are
no heads and necks.
"""

from __future__ import annotations

import re

from node.cases.vocabulary import plain_text

# Removed before head and neck are looked for.
_NOT_A_HEAD = re.compile(
    r"(?:head|neck) (?:of )?(?:the )?(?:femur|femor\w*|humer\w*|radi\w*|pancrea\w*|fibula\w*|bladder|uter\w*)"
    r"|(?:femoral|humeral|radial|pancrea\w*|fibular|bladder|uterine|medial|long|short) (?:head|neck)"
    r"|(?:schenkel|gebärmutter|blasen)hals|(?:h[uü]ft|femur|humerus|radius|pankreas)kopf"
    r"|股骨头|股骨颈|肱骨头|桡骨头|胰头|宫颈|子宫颈|膀胱颈|颈椎|頸椎"
)
_HEAD_AND_NECK = re.compile(
    r"(?<![a-z])(?:head\w*|neck\w*|h ?& ?n|h ?n|hns?|ent|hno|orl|ohn|skull\w*|cranio\w*|crani\w*|brain\w*|cerebr\w*|"
    r"neuro\w*|face|facial\w*|maxillo\w*|maxilla\w*|mandib\w*|orbit\w*|sinus\w*|paranasal\w*|nasal\w*|nose|"
    r"nas[oa]\w*|"
    r"epiphar\w*|\w*pharyn\w*|\w*faring\w*|laryn\w*|tongue|oral\w*|mouth|parotid\w*|salivar\w*|thyroid\w*|pituit\w*|"
    r"sella\w*|iac|temporal\w*|tmj|clivus|npc|kopf\w*|hals\w*|schädel\w*|gesicht\w*|hirn\w*|gehirn\w*|nnh|tête|cou|"
    r"crâne|cerveau|encéph\w*|cavum|massif|cabeza|cuello|cráneo|cerebro|cara|testa|collo|cranio|encefalo|"
    r"massiccio|cabeça|pescoço|hoofd\w*|schedel\w*|голов\w*|ше[ия]|носоглот\w*|"
    r"черепа?)"
    r"(?![a-z])|鼻|咽|喉|头|頭|颈|頸|面部|颌|颅|顱|脑|腦|脳|口腔|두경부|비인두|인두|머리|뇌|舌|腮腺|眼眶|蝶鞍|甲状腺"
)
# Region -> words of a description.
_OTHER: dict[str, str] = {
    "rectum": r"rect(?:um|al|o)\w*|rekt\w*|ano ?rect\w*|anal|anus|reto|прям\w* кишк\w*|直肠|直腸|肛|직장",
    "prostate": r"prostat\w*|próstata|простат\w*|前列腺|前立腺|攝護腺|전립선",
    "pelvis": r"pelvi\w*|pelvic\w*|becken\w*|bassin|bacino|bacia|bekken|таз\w*|盆腔|骨盆|骨盤|골반",
    "abdomen": r"abdom\w*|oberbauch|unterbauch|bauch|addome|buik|живот\w*|брюшн\w*|腹|복부",
    "liver": r"liver|hepat\w*|leber\w*|foie|hígado|fígado|fegato|lever|печен\w*|mrcp|cholangio\w*|肝|胆|간담",
    "pancreas": r"pancrea\w*|pankrea\w*|páncreas|поджелуд\w*|胰|膵|췌장",
    "kidney": r"kidneys?|renal\w*|nieren?\w*|reins?|riñon\w*|rene|adrenal\w*|rim|rins|nier|nieren|поч\w*|肾|腎|신장",
    "bowel": r"entero\w*|bowel|colon|sellink|肠",
    "breast": r"breasts?|mamma\w*|brust|seins?|mama|mamas|mammella|borst\w*|молочн\w*|乳|유방",
    "chest": r"chest|thora\w*|lungs?|pulmo\w*|mediast\w*|torax|tórax|груд\w*|легк\w*|胸|肺|흉부|纵隔",
    "heart": r"heart|cardi\w*|herz\w*|c[oœ]eur|corazón|cuore|coração|сердц\w*|心脏|心臓|心臟|心肌|심장",
    "spine": r"[clt]? ?spines?|spinal\w*|lumb\w*|sacr\w*|[hbl]ws|wirbels\w*|rachis|columna|colonna|coluna|"
    r"wervel\w*|позвон\w*|vertebr\w*|"
    r"脊柱|脊椎|脊髓|颈椎|頸椎|胸椎|腰椎|脊柱|骶|척추|요추|경추",
    "knee": r"knees?|knie\w*|genou\w*|rodilla\w*|ginocchio|joelho\w*|колен\w*|膝|무릎",
    "hip": r"hips?|hüft\w*|huft\w*|hanches?|cadera\w*|femoral head|femoral neck|head of femur|heup\w*|quadril|"
    r"тазобедр\w*|髋|髖|股骨|股関節|고관절",
    "shoulder": r"shoulders?|schulter\w*|épaules?|epaules?|hombro\w*|spalla|ombro\w*|schouder\w*|плеч\w*|肩|어깨",
    "ankle or foot": r"ankles?|f(?:oo|ee)t|sprunggelenk\w*|fuß|fuss|cheville\w*|pieds?|tobillo\w*|pie|"
    r"caviglia|tornozelo|enkel|голеност\w*|踝|足|발목",
    "wrist or hand": r"wrists?|hands?|handgelenk\w*|poignets?|mains?|muñeca\w*|manos?|polso|腕|手",
    "elbow": r"elbows?|ellenbogen|coudes?|codos?|gomito|肘",
    "limb": r"thighs?|femur|calf|calves|legs?|arms?|forearms?|humerus|tibia\w*|limbs?|extremit\w*|oberschenkel\w*|"
    r"unterschenkel\w*|oberarm|unterarm|cuisses?|jambes?|muslo|pierna|大腿|小腿|四肢|上肢|下肢",
    "uterus or ovary": r"uter(?:us|ine|o)\w*|gynae?c\w*|gebärmutter\w*|cervix|ovar\w*|endometri\w*|матк\w*|"
    r"子宫|子宮|宫颈|卵巢|卵巣|자궁",
    "bladder": r"bladder|blase|harnblase|vessie|vejiga|vescica|膀胱",
    "testis or penis": r"test[ie]s|testic\w*|scrot\w*|penis|hoden|睾丸|阴囊",
    "fetus": r"f[eo]et(?:us|al)\w*|胎儿",
}


def _pattern(words: str) -> re.Pattern[str]:
    """Compile whole words; those of Chinese, Japanese and Korean match anywhere: they are written without blanks."""
    alternatives = words.split("|")
    han = [word for word in alternatives if re.search(r"[\u4e00-\u9fff\uac00-\ud7a3]", word)]
    latin = "|".join(word for word in alternatives if word not in han)
    return re.compile("|".join([rf"(?<![a-zà-ÿа-я])(?:{latin})(?![a-zà-ÿа-я])", *han]))


_REGIONS = {region: _pattern(words) for region, words in _OTHER.items()}


def other_region(text: object) -> str | None:
    """Return the region that a text names, where it is another one than head and neck.

    Parameters
    ----------
    text : object
        A description, a body part, or the meaning of a code.

    Returns
    -------
    str or None
        For example ``rectum``; None for head and neck, for both, and for a text without a region.
    """
    plain = plain_text(text)
    if _HEAD_AND_NECK.search(_NOT_A_HEAD.sub(" ", plain)):
        return None
    return next((region for region, words in _REGIONS.items() if words.search(plain)), None)
