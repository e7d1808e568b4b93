//! Are the messages of a log in English? Others are translated word by word (`lc_messages`), and nothing of them is
//! understood.
//!
//! Source: PostgreSQL's message catalogues, `src/backend/po`: "ERROR", "STATEMENT" and "duration: %s ms" of the
//! translations that are complete.

use memchr::memmem;

/// Words that stand for a severity or begin a part of an entry, before a colon and two spaces.
const LABELS: [&str; 25] = [
    "FEHLER",
    "ANWEISUNG",
    "ERREUR",
    "INSTRUCTION",
    "SENTENCIA",
    "ERRORE",
    "ISTRUZIONE",
    "ERRO",
    "COMANDO",
    "ОШИБКА",
    "ОПЕРАТОР",
    "ПОМИЛКА",
    "错误",
    "语句",
    "文",
    "오류",
    "명령 구문",
    "BŁĄD",
    "WYRAŻENIE",
    "FEL",
    "HATA",
    "CHYBA",
    "СООБЩЕНИЕ",
    "日志",
    "로그",
];

/// How the duration of a statement is told.
const DURATIONS: [&str; 14] = [
    "Dauer: ",
    "durée : ",
    "duración: ",
    "durata: ",
    "duração: ",
    "продолжительность: ",
    "тривалість: ",
    "执行时间: ",
    "期間: ",
    "작업시간: ",
    "czas trwania: ",
    "varaktighet: ",
    "süre: ",
    "trvání: ",
];

/// Whether the beginning of a log has messages in another language.
pub(crate) fn is_another(beginning: &[u8]) -> bool {
    let told = |text: String| memmem::find(beginning, text.as_bytes()).is_some();
    LABELS.iter().any(|label| {
        told(format!(" {label}:  ")) || told(format!(",{label},")) || told(format!("\"{label}\""))
    }) || DURATIONS.iter().any(|duration| told(format!("LOG:  {duration}")) || told(format!("\"{duration}")))
}

#[cfg(test)]
mod tests {
    use super::is_another;

    #[test]
    fn other_languages_are_told_from_english() {
        for (text, expected) in [
            ("2026-01-01 UTC [1] FEHLER:  Relation »t« existiert nicht\n", true),
            ("2026-01-01 UTC [1] LOG:  Dauer: 12.5 ms  Anweisung: select 1\n", true),
            ("2026-01-01 UTC [1] LOG:  duración: 12.5 ms  sentencia: select 1\n", true),
            ("2026-01-01,\"app\",\"shop\",1,,x,1,,,,0,ОШИБКА,42P01,\"отношение\"\n", true),
            ("{\"error_severity\":\"ERREUR\",\"message\":\"x\"}\n", true),
            ("2026-01-01 UTC [1] LOG:  duration: 12.5 ms  statement: select 'FEHLER: '\n", false),
            ("2026-01-01 UTC [1] ERROR:  relation \"fel\" does not exist\n", false),
        ] {
            assert_eq!(is_another(text.as_bytes()), expected, "{text}");
        }
    }
}
