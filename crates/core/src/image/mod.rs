//! Images as bytes: decoding, resampling, augmentation. No file access.
