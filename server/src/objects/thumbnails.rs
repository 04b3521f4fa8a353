//! Small pictures of pictures, made when they are first asked for and kept beside them. They can always be made again.

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder as _};
use sync_core::attachments::MediaType;

use super::uploads::Stored;
use super::{ObjectsError, content};
use crate::app::App;

/// The longest sides, in points, that can be asked for.
pub const SIZES: [u32; 3] = [160, 320, 640];
const QUALITY: u8 = 80;

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// Not a picture.
    #[error("a {0} has no thumbnail")]
    NoPicture(String),
    /// The picture cannot be decoded.
    #[error("the picture cannot be shown: {0}")]
    Broken(String),
    /// The content is not in the store.
    #[error("the content is not in the store")]
    Missing,
    /// The store failed.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
}

/// A JPEG of a picture whose longer side has `size` points.
pub async fn thumbnail(app: &App, row: &Stored, size: u32) -> Result<Bytes, ThumbnailError> {
    let kind = MediaType::parse(&row.media_type).filter(|t| t.is_image());
    let kind = kind.ok_or_else(|| ThumbnailError::NoPicture(row.media_type.clone()))?;
    let key = format!("thumbnails/{}/{size}", row.hash);
    if let Some(made) = app.objects.get(&key).await? {
        return Ok(made);
    }
    let _turn = app.objects.whole_files.acquire().await.map_err(|e| ObjectsError::Worker(e.to_string()))?;
    let bytes = app.objects.get(&row.object).await?.ok_or(ThumbnailError::Missing)?;
    let made = tokio::task::spawn_blocking(move || draw(&bytes, kind, size)).await;
    let made = Bytes::from(made.map_err(|e| ObjectsError::Worker(e.to_string()))??);
    app.objects.put(&key, made.clone()).await?;
    Ok(made)
}

fn draw(bytes: &[u8], kind: MediaType, size: u32) -> Result<Vec<u8>, ThumbnailError> {
    let broken = |e: image::ImageError| ThumbnailError::Broken(e.to_string());
    let mut decoder = content::reader(bytes, kind).into_decoder().map_err(broken)?;
    let turned = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    let mut small = picture.thumbnail(size, size);
    drop(picture);
    small.apply_orientation(turned);
    let mut out = Vec::new();
    small.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut out, QUALITY)).map_err(broken)?;
    Ok(out)
}

/// Deletes what was made of a content.
pub(super) async fn forget(app: &App, hash: &str) -> Result<(), ObjectsError> {
    let keys = app.objects.list(&format!("thumbnails/{hash}")).await?.into_iter().map(|o| o.key);
    app.objects.delete_all(keys).await;
    Ok(())
}
