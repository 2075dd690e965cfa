//! A query as a set of words, each with its weight.
//!
//! Words are runs of letters and digits. Scripts that put no space between
//! words give pairs of neighbouring characters instead.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words that carry grammar more than content, of the languages that they were
/// collected for. They count little: "how do I" and "how can I" ask the same.
const FUNCTION_WORDS: &str = "
    a about am an and any are as at be been but by can could did do does for from get give had has have how i if
    in into is it its just know let like ll m me my need now of on or our please re s should so some t tell that
    the their them then there these they this those to up us use ve want was way we were what when where which
    who why will with would you your
    aber als am an auch auf aus bei bin bitte das dass dein dem den der des die dies ein eine einem einen einer
    er es für habe haben hat ich ihr im in ist kann kannst kein können man mein meine meinem meinen meiner mir
    mit muss nach nicht noch oder sagen sich sie sind so um und uns von wann warum was welche welcher wenn wer
    wie will wird wo wohin zu zum zur
    ai au aux avec avez ce ces cette comment d dans de des donc du elle en est et il j je l la le les leur ma
    mais me mes moi mon n ne nous on ou où par pas peut peux plus pour pourquoi pouvez qu quand que quel quelle
    quelles quels qui quoi s sa se ses si son sont sur un une veux vos votre vous y à être
    al como con cual cuando cuándo cuánto cómo de del donde dónde el ella en es esta este estoy hay la las lo los
    más me mi mis no nos o para pero por porque puede puedes puedo que quiero qué se si sin son su sus te tu un
    una y yo
    che chi ci come con cosa da dei del della di dove dov e fare gli ho i il in io la le lo mi mia mio ne nel
    non o per perché posso può quale quando quanto questo se si sono su un una vorrei è
    ao aos as com da das do dos e em eu faço isso mais meu meus minha na nas no nos o onde os ou para pela pelo
    por posso qual quando que quero se sem seu sua um uma você é
    aan als bij dat de deze die dit een en er het hoe ik in is kan kun maar me met mijn moet naar niet of om ook
    op te u van voor waar wanneer wat we wie wil worden zijn zo
    a ale co czy dla do gdzie i ile ja jak jaki jest kiedy mi mogę moje mój na nie o od po się to w z za że
    ama bana ben bir bu da de en için ile kaç mi mu mı mü nasıl ne neden nerede o olan ve ya
    а бы в вы где для до его если есть же за и из или как какой когда кто ли мне мой мочь мы на не но о от по
    почему при с так то у что это я
    أن أنا أو أي أين أريد إلى إن ما ماذا متى من هذا هل هو هي على عن في كم كيف لا لم مع و يا
    का की के को क्या कब कहाँ कैसे कौन क्यों में मेरा मेरी मेरे मैं से है हैं हो ने पर और या यह वह
";

static IS_FUNCTION_WORD: LazyLock<HashSet<&str>> =
    LazyLock::new(|| FUNCTION_WORDS.split_ascii_whitespace().collect());

/// Characters of Chinese that carry grammar more than content and are seldom
/// part of another word.
const FUNCTION_CHARACTERS: &str = "的了吗呢吧啊我你您他她它们是在怎么样什如何哪这那";

/// What a function word counts, where a content word counts 1.
const FUNCTION_WEIGHT: f64 = 0.1;

/// A word of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The word, or the pair of characters.
    pub text: String,
    /// What it counts.
    pub weight: f64,
    /// Whether it may be taken for another that is written almost like it.
    pub may_be_misspelt: bool,
}

impl Word {
    /// Whether it holds a digit: another number is another question.
    pub fn is_number(&self) -> bool {
        self.text.chars().any(char::is_numeric)
    }
}

/// Into which kind of run a character goes.
#[derive(Clone, Copy, PartialEq)]
enum Script {
    /// Words have spaces between them.
    Spaced,
    /// A run of them is a word: Katakana.
    Run,
    /// No spaces, and no other sign of where a word ends: Han, Thai, Lao,
    /// Myanmar, Khmer. Also Hangul, whose particles stand behind the word
    /// without a space.
    Unspaced,
    /// Grammar: Hiragana, and some characters of Chinese.
    Grammar,
}

impl Script {
    /// None for what separates words.
    fn of(c: char) -> Option<Self> {
        match c {
            '\u{3041}'..='\u{309f}' => Some(Self::Grammar),
            _ if FUNCTION_CHARACTERS.contains(c) => Some(Self::Grammar),
            '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' => Some(Self::Run),
            '\u{0e01}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => {
                Some(Self::Unspaced)
            }
            '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => {
                Some(Self::Unspaced)
            }
            '\u{20000}'..='\u{3134f}' | '\u{ac00}'..='\u{d7a3}' => Some(Self::Unspaced),
            // Vowel signs and viramas of Indic scripts stand within a word and
            // are neither letters nor digits; the two dandas are full stops.
            '\u{0964}' | '\u{0965}' => None,
            '\u{0900}'..='\u{0dff}' => Some(Self::Spaced),
            _ if c.is_alphanumeric() => Some(Self::Spaced),
            _ => None,
        }
    }
}

/// The words of a lower-case text, each once, in alphabetical order.
pub fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut script = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let next = Script::of(c);
        if next != script {
            let run = &text[start..at];
            match script {
                Some(Script::Spaced) => words.push(spaced(run)),
                Some(Script::Run) => words.push(word(run, 1.0, true)),
                Some(Script::Grammar) => words.push(word(run, FUNCTION_WEIGHT, false)),
                Some(Script::Unspaced) => words.extend(pairs(run)),
                None => {}
            }
            (start, script) = (at, next);
        }
    }
    words.sort_by(|one, other| one.text.cmp(&other.text));
    words.dedup_by(|one, other| one.text == other.text);
    words
}

fn word(text: &str, weight: f64, may_be_misspelt: bool) -> Word {
    Word { text: text.to_owned(), weight, may_be_misspelt }
}

fn spaced(text: &str) -> Word {
    if IS_FUNCTION_WORD.contains(text) {
        word(text, FUNCTION_WEIGHT, false)
    } else {
        word(text, 1.0, !text.chars().any(char::is_numeric))
    }
}

/// Each two neighbouring characters; a single one stands for itself.
fn pairs(run: &str) -> Vec<Word> {
    let starts: Vec<_> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
    match starts.len() {
        0..3 => vec![word(run, 1.0, false)],
        _ => starts.windows(3).map(|ends| word(&run[ends[0]..ends[2]], 1.0, false)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, bool)> {
        words(text).into_iter().map(|word| (word.text, word.weight == 1.0)).collect()
    }

    fn owned(words: &[(&str, bool)]) -> Vec<(String, bool)> {
        words.iter().map(|(word, content)| ((*word).to_owned(), *content)).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_each_once() {
        let expected = owned(&[("the", false), ("usb", true), ("usb3", true), ("zürich", true)]);
        assert_eq!(told("the usb3 (zürich) usb, the usb!"), expected);
        assert_eq!(told("…"), Vec::new());
    }

    #[test]
    fn scripts_without_spaces_give_pairs_and_grammar_counts_little() {
        assert_eq!(told("重置密码"), owned(&[("密码", true), ("置密", true), ("重置", true)]));
        assert_eq!(told("我的密码"), owned(&[("密码", true), ("我的", false)]));
        let expected = owned(&[("の", false), ("パスワード", true), ("変更", true)]);
        assert_eq!(told("パスワードの変更"), expected);
        assert_eq!(told("猫"), owned(&[("猫", true)]));
        assert_eq!(told("변경"), owned(&[("변경", true)]));
    }

    #[test]
    fn signs_within_an_indic_word_do_not_cut_it() {
        assert_eq!(told("पासवर्ड बदलें।"), owned(&[("पासवर्ड", true), ("बदलें", true)]));
    }
}
