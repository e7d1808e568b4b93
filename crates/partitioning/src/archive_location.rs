//! Is an archive a folder or a bucket? `s3://bucket/prefix` is a bucket of S3-compatible storage; anything else without
//! `://` is a folder.
//!
//! Source: Amazon S3 User Guide, "General purpose bucket naming rules"; older buckets may have capitals and underscores.

/// What the `archive` of a set says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveLocation {
    /// A folder of this machine.
    Folder(String),
    /// A bucket, and what the keys in it begin with, without a slash at either end.
    Bucket {
        /// The bucket.
        bucket: String,
        /// May be empty.
        prefix: String,
    },
}

impl ArchiveLocation {
    /// Reads `archive`.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => Err("archive is empty".to_owned()),
                text => Ok(Self::Folder(text.to_owned())),
            };
        };
        if scheme != "s3" {
            return Err(format!("archive is a folder or s3://bucket/prefix, and not \"{scheme}://…\""));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !(3..=255).contains(&bucket.len()) || !bucket.chars().all(fits) || bucket.contains("..") {
            return Err(format!("\"{bucket}\" cannot be the name of a bucket"));
        }
        let prefix = prefix.trim_matches('/');
        let wrong = |part: &str| {
            part.is_empty() || part == "." || part == ".." || part.chars().any(|c| c.is_ascii_control())
        };
        if !prefix.is_empty() && prefix.split('/').any(wrong) {
            return Err(format!("\"{prefix}\" cannot be what the keys of a bucket begin with"));
        }
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_buckets_are_told_apart() {
        let bucket = |bucket: &str, prefix: &str| ArchiveLocation::Bucket {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        for (text, expected) in [
            ("cold store", ArchiveLocation::Folder("cold store".to_owned())),
            ("s3:/x", ArchiveLocation::Folder("s3:/x".to_owned())),
            ("s3://cold", bucket("cold", "")),
            ("s3://cold/", bucket("cold", "")),
            ("s3://cold.example/a b/Ä/", bucket("cold.example", "a b/Ä")),
        ] {
            assert_eq!(ArchiveLocation::parse(text), Ok(expected), "{text}");
        }
        for text in ["", "s3://", "s3://a", "s3://a b c/x", "s3://cold/a//b", "s3://cold/../x", "gs://cold/x"]
        {
            assert!(ArchiveLocation::parse(text).is_err(), "{text}");
        }
    }
}
